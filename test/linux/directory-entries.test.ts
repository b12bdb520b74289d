import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { createServer } from 'node:net';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { type DirectoryEntry, decodeDirectoryEntries } from '../../src/linux/directory-entries.ts';
import { readDirectory } from '../../src/linux/files.ts';
import { Structure } from '../../src/linux/structure.ts';

/** A record as the kernel writes it, but for what a test makes wrong. */
function record({ name = 'name', type = 8, length = 0, terminated = true } = {}): Uint8Array<ArrayBuffer> {
  const encoded = Buffer.from(name);
  const full = Math.ceil((20 + encoded.length) / 8) * 8;
  const bytes = new Uint8Array(full).fill(terminated ? 0 : 0x78);
  bytes.set(encoded, 19);
  new DataView(bytes.buffer).setUint16(16, length || full, true);
  bytes[18] = type;
  return bytes;
}

function concatenate(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.concat(parts));
}

function list(path: string, bufferBytes: number): DirectoryEntry[] {
  const fd = fs.openSync(path, 'r');
  try {
    const buffer = new Structure(bufferBytes);
    const entries: DirectoryEntry[] = [];
    for (;;) {
      const length = readDirectory(fd, buffer.address, bufferBytes);
      assert.ok(length >= 0, `not ${length}`);
      if (length === 0) return entries;
      entries.push(...decodeDirectoryEntries(buffer.bytes.subarray(0, length))!);
    }
  } finally {
    fs.closeSync(fd);
  }
}

test('a directory lists as Node lists it, through a small buffer too', async (t) => {
  const path = fs.mkdtempSync(join(tmpdir(), 'sgxio-directory-'));
  t.after(() => fs.rmSync(path, { recursive: true }));
  for (let index = 0; index < 40; index++)
    fs.writeFileSync(join(path, `file-${index}-${'n'.repeat(index)}`), '');
  fs.writeFileSync(join(path, 'ü'.repeat(127)), '');
  fs.writeFileSync(Buffer.concat([Buffer.from(`${path}/`), Buffer.from([0xff, 0x61])]), '');
  fs.mkdirSync(join(path, 'directory'));
  fs.symlinkSync('nowhere', join(path, 'link'));
  execFileSync('mkfifo', [join(path, 'fifo')]);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(join(path, 'socket'), resolve));
  t.after(() => server.close());

  const expected = fs.readdirSync(path, { withFileTypes: true }).map((entry): DirectoryEntry => {
    const { name } = entry;
    if (entry.isDirectory()) return { name, type: 'directory' };
    if (entry.isSymbolicLink()) return { name, type: 'symbolic link' };
    if (entry.isFIFO()) return { name, type: 'fifo' };
    if (entry.isSocket()) return { name, type: 'socket' };
    return { name, type: 'file' };
  });
  const byName = (a: DirectoryEntry, b: DirectoryEntry) => (a.name < b.name ? -1 : 1);
  for (const bufferBytes of [300, 65_536]) {
    assert.deepEqual(list(path, bufferBytes).sort(byName), [...expected].sort(byName));
  }
});

test('devices are told apart', () => {
  const types = new Map(list('/dev', 65_536).map(({ name, type }) => [name, type]));
  assert.equal(types.get('null'), 'character device');
  assert.deepEqual(decodeDirectoryEntries(record({ type: 6 })), [{ name: 'name', type: 'block device' }]);
  assert.deepEqual(decodeDirectoryEntries(record({ type: 0 })), [{ name: 'name', type: 'unknown' }]);
});

test('a buffer too small for a name is an error of the kernel, not an end', (t) => {
  const path = fs.mkdtempSync(join(tmpdir(), 'sgxio-directory-'));
  t.after(() => fs.rmSync(path, { recursive: true }));
  const fd = fs.openSync(path, 'r');
  t.after(() => fs.closeSync(fd));
  assert.equal(readDirectory(fd, new Structure(8).address, 8), -constants.errno.EINVAL);
});

test('records that no kernel writes are refused', () => {
  const good = record();
  assert.deepEqual(decodeDirectoryEntries(good), [{ name: 'name', type: 'file' }]);
  assert.deepEqual(decodeDirectoryEntries(new Uint8Array(0)), []);
  const wrong = [
    record({ length: 8 }),
    record({ length: 32 }),
    record({ length: 23 }),
    record({ length: 65_528 }),
    record({ name: '' }),
    record({ name: 'a/b' }),
    record({ name: '/' }),
    record({ name: 'n'.repeat(256) }),
    record({ terminated: false }),
    good.subarray(0, 23),
    new Uint8Array(24),
  ];
  for (const bytes of wrong) {
    assert.equal(decodeDirectoryEntries(bytes), undefined);
    assert.equal(decodeDirectoryEntries(concatenate(good, bytes)), undefined);
  }
  assert.equal(decodeDirectoryEntries(record({ name: 'n'.repeat(255) }))?.length, 1);
});

test('dot and dot-dot are left out, names that begin with dots are not', () => {
  const names = ['.', '..', '...', '.a', '..a', 'a.'];
  const bytes = concatenate(...names.map((name) => record({ name })));
  assert.deepEqual(
    decodeDirectoryEntries(bytes)?.map(({ name }) => name),
    ['...', '.a', '..a', 'a.'],
  );
});

test('any damage gives names that are names, or nothing', () => {
  const whole = concatenate(...['one', '..', 'twenty-two', 'three'].map((name) => record({ name })));
  const damage = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { maxLength: 6 });
  fc.assert(
    fc.property(damage, fc.nat(whole.length), (changes, length) => {
      const bytes = whole.slice(0, length);
      for (const [index, value] of changes) bytes[index] = value;
      for (const { name } of decodeDirectoryEntries(bytes) ?? []) {
        assert.match(name, /^[^/\0]{1,255}$/);
        assert.ok(name !== '.' && name !== '..');
      }
    }),
    { numRuns: 1000 },
  );
});
