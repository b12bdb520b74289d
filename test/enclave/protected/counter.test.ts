import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { NodeBlockFile } from '../../../src/cli/node-block-file.ts';
import { FileCounter } from '../../../src/enclave/protected/file-counter.ts';
import { FileStaleError, InvalidArgumentError } from '../../../src/errors.ts';
import { createMount, HostFile, openMount, pattern, readFile, writeFile } from './support.ts';

test('a counter in a file goes on across restarts, only upwards, and outlives a cut write', () => {
  const file = new HostFile();
  const counter = new FileCounter(file);
  assert.equal(counter.read(), undefined);
  for (let count = 1; count <= 5; count++) counter.advance({ count, mark: pattern(count, 16) });
  assert.deepEqual(new FileCounter(file).read(), { count: 5, mark: pattern(5, 16) });
  assert.throws(() => counter.advance({ count: 5, mark: pattern(5, 16) }), InvalidArgumentError);
  // The write of number 6 was cut in its middle.
  const cut = file.copy();
  new FileCounter(file).advance({ count: 6, mark: pattern(6, 16) });
  cut.put(0, file.content.slice(0, 12));
  assert.deepEqual(new FileCounter(cut).read(), { count: 5, mark: pattern(5, 16) });
});

test('a mount on the disk with a counter on the disk', () => {
  const folder = mkdtempSync(join(tmpdir(), 'counter-'));
  try {
    const counter = new FileCounter(new NodeBlockFile(join(folder, 'counter'), 'wx+'));
    const { mount, file } = createMount({ counter });
    writeFile(mount, '/a', pattern(1, 10_000));
    mount.sync();
    const old = file.copy();
    writeFile(mount, '/a', pattern(2, 10_000));
    mount.close();
    const again = new FileCounter(new NodeBlockFile(join(folder, 'counter'), 'r+'));
    assert.deepEqual(readFile(openMount(file, { counter: again }), '/a'), pattern(2, 10_000));
    assert.throws(() => openMount(old, { counter: again }), FileStaleError);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
