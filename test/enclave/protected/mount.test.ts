import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  BLOCK,
  createMount,
  HostFile,
  openMount,
  pattern,
  readFile,
  snapshot,
  writeFile,
} from './support.ts';

test('files come back after the mount was closed', () => {
  const { mount, file } = createMount();
  mount.mkdir('/a');
  writeFile(mount, '/a/small', pattern(1, 100));
  writeFile(mount, '/a/large', pattern(2, 300 * BLOCK + 17));
  writeFile(mount, '/empty', new Uint8Array(0));
  mount.close();
  const again = openMount(new HostFile(file.content));
  assert.deepEqual(readFile(again, '/a/small'), pattern(1, 100));
  assert.deepEqual(readFile(again, '/a/large'), pattern(2, 300 * BLOCK + 17));
  assert.deepEqual([...snapshot(again).keys()], ['/a/', '/a/large', '/a/small', '/empty']);
  assert.equal(again.stat('/a/large').size, 300 * BLOCK + 17);
});

test('many files in one directory', () => {
  const { mount, file } = createMount();
  for (let index = 0; index < 2000; index++) writeFile(mount, `/file number ${index}`, pattern(index, 10));
  for (let index = 0; index < 2000; index += 2) mount.unlink(`/file number ${index}`);
  mount.close();
  const again = openMount(file);
  assert.equal(again.readdir('/').length, 1000);
  for (let index = 1; index < 2000; index += 2) {
    assert.deepEqual(readFile(again, `/file number ${index}`), pattern(index, 10));
  }
});
