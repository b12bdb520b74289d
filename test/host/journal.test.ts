import assert from 'node:assert/strict';
import { closeSync, fstatSync, openSync } from 'node:fs';
import { test } from 'node:test';
import { Journal, ResourceType } from '../../src/host/journal.ts';

test('what a worker without a successor leaves is closed, but for the streams of the host', () => {
  const journal = new Journal();
  const [file, stream] = [openSync('/dev/null', 'r'), openSync('/dev/null', 'r')];
  journal.open(0, ResourceType.file, file);
  journal.open(1, ResourceType.stream, stream);
  journal.closeDescriptors();
  assert.throws(() => fstatSync(file), { code: 'EBADF' });
  assert.ok(fstatSync(stream).isCharacterDevice());
  assert.deepEqual([...journal.handles()], []);
  closeSync(stream);
});
