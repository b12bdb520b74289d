import assert from 'node:assert/strict';
import { createDecipheriv, createHash, hkdfSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { FileRecord, Root } from '../../../src/enclave/protected/format.ts';
import { HostFile, openMount, readFile, snapshot } from './support.ts';

interface Vector {
  readonly mountKey: string;
  readonly slots: number;
  readonly files: Readonly<Record<string, { readonly size: number; readonly sha256: string }>>;
  readonly permissions: Readonly<Record<string, number>>;
  readonly store: Readonly<Record<string, string>>;
}

const BLOCK = 4096;
const path = join(import.meta.dirname, '../../../../docs/protected-files.vector.json');
const vector = JSON.parse(readFileSync(path, 'utf8')) as Vector;
const key = Buffer.from(vector.mountKey, 'hex');

function store(): Buffer {
  const bytes = Buffer.alloc(vector.slots * BLOCK);
  for (const [slot, text] of Object.entries(vector.store))
    bytes.set(Buffer.from(text, 'base64'), Number(slot) * BLOCK);
  return bytes;
}

/** A reader of the format from its description alone: it shares no code with the mount. */
class Reader {
  readonly #store: Buffer;
  readonly #mountId: Buffer;
  readonly #root: Buffer;

  constructor(bytes: Buffer) {
    this.#store = bytes;
    this.#mountId = bytes.subarray(16, 32);
    const roots = [0, 1, 2, 3]
      .map((slot) => this.#openRoot(bytes.subarray(slot * BLOCK, slot * BLOCK + 512)))
      .filter((root) => root !== undefined);
    this.#root = roots.reduce((newest, root) => (number(root, 0) > number(newest, 0) ? root : newest));
  }

  /** Every file below a directory, with its record and content. */
  *files(directory = 1, below = ''): Generator<{ path: string; record: Buffer; content: Buffer }> {
    const record = this.#record(directory);
    const bits = record[104]!;
    for (let index = 0; index < 2 ** bits; index++) {
      const block = this.#block(directory, record, index);
      for (let at = 0; at < BLOCK && block[at] !== 0; at += 10 + block[at]!) {
        const name = block.subarray(at + 10, at + 10 + block[at]!);
        const hash = createHash('sha256').update(this.#key('names')).update(name).digest().readUInt32LE(0);
        assert.equal(hash, block.readUInt32LE(at + 2));
        if ((hash & (2 ** bits - 1)) !== index) continue;
        const child = block.readUInt32LE(at + 6);
        const path = `${below}/${name.toString()}`;
        if (block[at + 1] === 2) yield* this.files(child, path);
        else yield { path, record: this.#record(child), content: this.#content(child) };
      }
    }
  }

  #content(file: number): Buffer {
    const record = this.#record(file);
    const size = number(record, 8);
    const content = Buffer.alloc(Math.ceil(size / BLOCK) * BLOCK);
    for (let index = 0; index * BLOCK < size; index++)
      content.set(this.#block(file, record, index), index * BLOCK);
    return content.subarray(0, size);
  }

  #record(file: number): Buffer {
    const block = this.#block(0, this.#root.subarray(64, 192), Math.floor(file / 32));
    return block.subarray((file % 32) * 128, (file % 32) * 128 + 128);
  }

  #block(file: number, record: Buffer, index: number): Buffer {
    let block = this.#open(file, record, record.subarray(24, 56));
    for (let level = record[1]!; level > 0 && block !== undefined; level--) {
      const entry = Math.floor(index / 128 ** (level - 1)) % 128;
      block = this.#open(file, record, block.subarray(entry * 32, entry * 32 + 32));
    }
    return block ?? Buffer.alloc(BLOCK);
  }

  #open(file: number, record: Buffer, entry: Buffer): Buffer | undefined {
    const slot = entry.readUInt32LE(0);
    if (slot === 0) return undefined;
    const label = `block ${file} ${record.readUInt32LE(4)} ${entry.readUInt16LE(4)}`;
    const sealed = this.#store.subarray(slot * BLOCK, (slot + 1) * BLOCK);
    return this.#decrypt(label, entry.subarray(4, 16), sealed, entry.subarray(16, 32));
  }

  #openRoot(bytes: Buffer): Buffer | undefined {
    if (bytes.subarray(0, 8).toString('latin1') !== 'sgxiopf\0' || bytes.readUInt32LE(8) !== 1)
      return undefined;
    const nonce = bytes.subarray(32, 44);
    const label = `block 4294967295 0 ${nonce.readUInt16LE(0)}`;
    return this.#decrypt(label, nonce, bytes.subarray(64, 512), bytes.subarray(48, 64));
  }

  #decrypt(label: string, nonce: Buffer, sealed: Buffer, tag: Buffer): Buffer {
    const decipher = createDecipheriv('aes-256-gcm', this.#key(label), nonce);
    decipher.setAuthTag(tag);
    return Buffer.concat([decipher.update(sealed), decipher.final()]);
  }

  #key(label: string): Uint8Array {
    return new Uint8Array(hkdfSync('sha256', key, this.#mountId, `sgxio files 1 ${label}`, 32));
  }
}

function number(bytes: Buffer, at: number): number {
  return Number(bytes.readBigUInt64LE(at));
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

test('the vector reads from the description alone', () => {
  const found: Record<string, { size: number; sha256: string }> = {};
  for (const { path, record, content } of new Reader(store()).files()) {
    found[path] = { size: content.length, sha256: sha256(content) };
    assert.equal(record.readUInt16LE(2), vector.permissions[path] ?? 0o666);
    assert.ok(record.readDoubleLE(80) >= 1_700_000_000_000);
  }
  assert.deepEqual(sorted(found), sorted(vector.files));
});

test('the mount reads the vector', () => {
  const mount = openMount(new HostFile(new Uint8Array(store())), { key: new Uint8Array(key) });
  for (const [path, { size, sha256: digest }] of Object.entries(vector.files)) {
    assert.equal(mount.stat(path).size, size);
    assert.equal(sha256(readFile(mount, path)), digest);
    assert.equal(mount.stat(path).mode & 0o7777, vector.permissions[path] ?? 0o666);
  }
  assert.equal(
    [...snapshot(mount).keys()].filter((path) => !path.endsWith('/')).length,
    Object.keys(vector.files).length,
  );
});

test('what the mount goes on to write reads from the description alone', () => {
  const file = new HostFile(new Uint8Array(store()));
  const mount = openMount(file, { key: new Uint8Array(key) });
  using open = mount.open('/folder/two blocks', 'r+');
  open.write(new TextEncoder().encode('changed'), { position: 4090 });
  mount.rename('/hello', '/folder/hello');
  mount.sync();
  const found = new Map(
    [...new Reader(Buffer.from(file.content)).files()].map(({ path, content }) => [path, content]),
  );
  assert.equal(found.get('/folder/hello')?.toString(), 'Hello, enclave.\n');
  assert.equal(found.get('/folder/two blocks')?.subarray(4090, 4097).toString(), 'changed');
  assert.equal(found.has('/hello'), false);
});

test('records and the root fit their places', () => {
  assert.ok(Root.table + FileRecord.bytes <= 448);
  assert.ok(FileRecord.nextFree + 8 <= FileRecord.bytes);
});

function sorted<Value>(record: Readonly<Record<string, Value>>): [string, Value][] {
  return Object.entries(record).sort(([left], [right]) => (left < right ? -1 : 1));
}
