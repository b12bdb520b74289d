import assert from 'node:assert/strict';
import { closeSync, ftruncateSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { SecureHeap } from '../../../src/enclave/memory/heap.ts';
import { privateBytesFor } from '../../../src/enclave/memory/layout.ts';
import { FileStore, type PositionalFile, SharedMemoryStore } from '../../../src/enclave/memory/store.ts';
import { MEBIBYTE, ordinaryMemory, untrustedMemory } from './support.ts';

const GIBIBYTE = 2 ** 30;

/** A real file, opened for the time of `work`. */
function withFile(work: (file: PositionalFile & { calls: number; descriptor: number }) => void): void {
  const directory = mkdtempSync(join(tmpdir(), 'sgxio-store-'));
  const descriptor = openSync(join(directory, 'pages'), 'w+');
  try {
    work({
      descriptor,
      calls: 0,
      read(buffers, positions) {
        this.calls++;
        for (const [index, buffer] of buffers.entries()) {
          readSync(descriptor, buffer, 0, buffer.length, positions[index]!);
        }
      },
      write(buffers, positions) {
        this.calls++;
        for (const [index, buffer] of buffers.entries()) {
          assert.equal(writeSync(descriptor, buffer, 0, buffer.length, positions[index]!), buffer.length);
        }
      },
    });
  } finally {
    closeSync(descriptor);
    rmSync(directory, { recursive: true });
  }
}

describe('a store in a file', () => {
  it('holds 10 GB beside a mebibyte of private memory, and is written and read in batches', () => {
    withFile((file) => {
      const bytes = 10 * GIBIBYTE;
      const frames = 200;
      const memory = ordinaryMemory(privateBytesFor(frames, bytes));
      assert.ok(memory.buffer.byteLength < 1.1 * MEBIBYTE);
      using heap = SecureHeap.create(memory, new FileStore(memory, bytes, file, 16), { frames });
      const block = heap.alloc(9.5 * GIBIBYTE);
      const stride = 37 * MEBIBYTE + 4096;
      for (let at = 0; at + 8 <= block.length; at += stride) block.setFloat64(at, at);
      for (let at = 0; at + 8 <= block.length; at += stride) assert.equal(block.getFloat64(at), at);
      const base = 5 * GIBIBYTE;
      for (let page = 0; page < 600; page++) block.setFloat64(base + page * 4096, page);
      const before = file.calls;
      for (let page = 0; page < 600; page++) assert.equal(block.getFloat64(base + page * 4096), page);
      assert.ok(file.calls - before < 250, `${file.calls - before} calls for 600 pages in and out`);
      assert.equal(block.getFloat64(stride * 100), stride * 100);
    });
  });

  it('is caught when it was cut short (F1)', () => {
    withFile((file) => {
      const memory = ordinaryMemory(privateBytesFor(8, MEBIBYTE));
      using heap = SecureHeap.create(memory, new FileStore(memory, MEBIBYTE, file, 4), { frames: 8 });
      const block = heap.alloc(20 * 4096);
      block.fill(7);
      block.unlink();
      heap.dontNeed(block, 0, block.length);
      ftruncateSync(file.descriptor, 10 * 4160 + 100);
      assert.equal(block.getUint8(0), 7);
      assert.throws(() => block.getUint8(19 * 4096), { code: 'SGXIO_PAGE_TAMPERED' });
    });
  });
});

describe('a store in shared memory', () => {
  it('keeps every page of a heap that is larger than the cache', () => {
    const memory = ordinaryMemory(privateBytesFor(16, 4 * MEBIBYTE));
    const untrusted = untrustedMemory(new SharedArrayBuffer(4 * MEBIBYTE));
    using heap = SecureHeap.create(memory, new SharedMemoryStore(memory, untrusted), { frames: 16 });
    const block = heap.alloc(3 * MEBIBYTE);
    for (let page = 0; page < 768; page++) block.setFloat64(page * 4096, page);
    for (let page = 0; page < 768; page++) assert.equal(block.getFloat64(page * 4096), page);
  });

  it('refuses a place outside it', () => {
    const memory = ordinaryMemory(MEBIBYTE);
    const store = new SharedMemoryStore(memory, untrustedMemory(new SharedArrayBuffer(8192)));
    for (const position of [-1, 8193 - 4112, 2 ** 40, Number.NaN]) {
      const transfers = [{ position, offset: 0, bytes: 4112 }];
      assert.throws(() => store.load(transfers, 1), { code: 'SGXIO_INVALID_ARGUMENT' });
      assert.throws(() => store.save(transfers, 1), { code: 'SGXIO_INVALID_ARGUMENT' });
    }
  });
});
