import assert from 'node:assert/strict';
import process from 'node:process';
import { describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { SecureHeap } from '../../../src/enclave/memory/heap.ts';
import type { SecurePointer } from '../../../src/enclave/memory/pointer.ts';
import { POLICIES } from '../../../src/enclave/memory/policy.ts';
import { createNodeAesGcm } from '../../../src/linux/openssl.ts';
import { createHeap, MEBIBYTE, seededRandom } from './support.ts';

interface Entry {
  pointer: SecurePointer;
  model: Uint8Array<ArrayBuffer>;
}

/** Random work on blocks, each beside a plain array that must always be equal to it. */
class Model {
  readonly heap: SecureHeap;
  readonly #below: (limit: number) => number;
  readonly #entries: Entry[] = [];

  constructor(heap: SecureHeap, seed: number) {
    this.heap = heap;
    this.#below = seededRandom(seed);
  }

  step(): void {
    const below = this.#below;
    this.#relax();
    const entry = this.#entries[below(this.#entries.length)];
    if (entry === undefined || (this.#entries.length < 24 && below(12) === 0)) {
      this.#alloc();
      return;
    }
    const { pointer, model } = entry;
    const offset = below(model.length);
    const bytes = 1 + below(model.length - offset);
    switch (below(14)) {
      case 0:
        this.#free(entry);
        break;
      case 1:
        this.#realloc(entry);
        break;
      case 2:
        pointer.fill(bytes & 0xff, offset, bytes);
        model.fill(bytes & 0xff, offset, offset + bytes);
        break;
      case 3: {
        const source = Uint8Array.from({ length: bytes }, () => below(256));
        pointer.write(offset, source);
        model.set(source, offset);
        break;
      }
      case 4: {
        const target = new Uint8Array(bytes);
        pointer.read(offset, target);
        assert.ok(Buffer.from(target).equals(model.subarray(offset, offset + bytes)));
        break;
      }
      case 5:
        this.#copy(entry, offset, bytes);
        break;
      case 6:
        this.#compare(entry, offset, bytes);
        break;
      case 7:
        this.heap.dontNeed(pointer, offset, bytes);
        break;
      case 8:
        this.heap.willNeed(pointer, offset, bytes);
        break;
      case 9:
        if (below(8) === 0) this.heap.reclaim(below(4));
        pointer.unlink();
        break;
      default:
        this.#value(entry, offset);
    }
  }

  check(): void {
    for (const { pointer, model } of this.#entries) {
      const target = new Uint8Array(model.length);
      pointer.read(0, target);
      assert.ok(Buffer.from(target).equals(model));
      pointer.unlink();
    }
  }

  freeAll(): void {
    while (this.#entries.length > 0) this.#free(this.#entries[0]!);
  }

  #length(): number {
    return 1 + this.#below([40, 400, 5000, 30_000][this.#below(4)]!);
  }

  /** A pointer that stays linked holds a frame, so all but one let go now and then. */
  #relax(): void {
    while (this.heap.linked.length > 1) this.heap.linked[this.#below(this.heap.linked.length)]!.unlink();
  }

  #alloc(): void {
    const length = this.#length();
    const pointer = this.heap.alloc(length, { sparse: this.#below(3) === 0 });
    this.#entries.push({ pointer, model: new Uint8Array(length) });
  }

  #free(entry: Entry): void {
    this.heap.free(entry.pointer);
    assert.throws(() => entry.pointer.getUint8(0), { code: 'SGXIO_MEMORY_MISUSE' });
    assert.throws(() => this.heap.free(entry.pointer), { code: 'SGXIO_MEMORY_MISUSE' });
    this.#entries.splice(this.#entries.indexOf(entry), 1);
  }

  #realloc(entry: Entry): void {
    const length = this.#length();
    const model = new Uint8Array(length);
    model.set(entry.model.subarray(0, length));
    const old = entry.pointer;
    entry.pointer = this.heap.realloc(old, length);
    entry.model = model;
    assert.throws(() => old.getUint8(0), { code: 'SGXIO_MEMORY_MISUSE' });
  }

  #copy(entry: Entry, offset: number, bytes: number): void {
    const target = this.#entries[this.#below(this.#entries.length)]!;
    const room = Math.min(bytes, target.model.length);
    const to = this.#below(target.model.length - room + 1);
    entry.pointer.copy(offset, target.pointer, to, room);
    target.model.set(entry.model.slice(offset, offset + room), to);
  }

  #compare(entry: Entry, offset: number, bytes: number): void {
    const other = this.#entries[this.#below(this.#entries.length)]!;
    const length = Math.min(bytes, other.model.length);
    const at = this.#below(other.model.length - length + 1);
    const expected = Buffer.compare(
      entry.model.subarray(offset, offset + length),
      other.model.subarray(at, at + length),
    );
    assert.equal(entry.pointer.compare(offset, other.pointer, at, length), expected);
  }

  #value({ pointer, model }: Entry, offset: number): void {
    const view = new DataView(model.buffer);
    const value = this.#below(2 ** 31) - 2 ** 30;
    const room = model.length - offset;
    if (room >= 8) {
      pointer.setFloat64(offset, value / 3);
      view.setFloat64(offset, value / 3, true);
      assert.equal(pointer.getBigUint64(offset), view.getBigUint64(offset, true));
      pointer.setBigInt64(offset, BigInt(value));
      view.setBigInt64(offset, BigInt(value), true);
      assert.equal(pointer.getFloat64(offset), view.getFloat64(offset, true));
    }
    if (room >= 4) {
      assert.equal(pointer.getInt32(offset), view.getInt32(offset, true));
      pointer.setUint32(offset, value);
      view.setUint32(offset, value, true);
      assert.equal(pointer.getFloat32(offset), view.getFloat32(offset, true));
    }
    if (room >= 2) {
      assert.equal(pointer.getUint16(offset), view.getUint16(offset, true));
      pointer.setInt16(offset, value);
      view.setInt16(offset, value, true);
    }
    assert.equal(pointer.getInt8(offset), view.getInt8(offset));
    pointer.setUint8(offset, value);
    view.setUint8(offset, value);
  }
}

/** A longer run, by hand: SGXIO_MODEL_STEPS=2000000. */
const STEPS = Number(process.env['SGXIO_MODEL_STEPS'] ?? 60_000);

describe('a heap under random work, beside plain arrays', () => {
  for (const policy of POLICIES) {
    it(`is equal to them with 8 frames and ${policy}`, () => {
      using heap = createHeap(8, 2 * MEBIBYTE, { policy }).heap;
      const model = new Model(heap, 1);
      for (let step = 0; step < STEPS; step++) model.step();
      model.check();
      const counters = heap.counters();
      assert.ok(counters.dirtyEvictions > 100 && counters.cleanEvictions > 100);
      assert.ok(counters.directReads > 10, `${counters.directReads} direct reads`);
      model.freeAll();
      assert.equal(heap.counters().usedBytes, 0);
      heap.alloc(heap.bytes - 2 * 4096);
    });
  }

  it('is equal to them while the cache is resized, and across several table pages', () => {
    const { heap } = createHeap(40, 9 * MEBIBYTE, { frames: 12 });
    using _ = heap;
    const model = new Model(heap, 2);
    // Spreads the blocks over the pages of more than one table.
    heap.alloc(3 * MEBIBYTE);
    const below = seededRandom(3);
    for (let step = 0; step < STEPS / 2; step++) {
      model.step();
      if (below(200) === 0) heap.resize(10 + below(31));
    }
    model.check();
  });

  it('is equal to them when keys change all the time, by AES-256 of node:crypto', () => {
    const { heap } = createHeap(8, MEBIBYTE, { keyBytes: 32, sealsPerKey: 50, cipher: createNodeAesGcm });
    using _ = heap;
    const model = new Model(heap, 4);
    for (let step = 0; step < STEPS / 8; step++) model.step();
    model.check();
  });
});

describe('a heap', () => {
  it('zeroes what it allocates, whoever had it before (F11)', () => {
    using heap = createHeap(8, MEBIBYTE).heap;
    for (const bytes of [10, 500, 5000, 50_000]) {
      const first = heap.alloc(bytes);
      first.fill(0xff);
      heap.free(first);
      const second = heap.alloc(bytes);
      const content = new Uint8Array(bytes);
      second.read(0, content);
      assert.deepEqual(content, new Uint8Array(bytes));
      second.unlink();
    }
  });

  it('refuses every access outside a block, overflow included', () => {
    using heap = createHeap(8, MEBIBYTE).heap;
    const block = heap.alloc(100);
    const other = heap.alloc(100);
    const outside = { code: 'SGXIO_INVALID_ARGUMENT' };
    block.setUint8(0, 1);
    for (const offset of [
      -1,
      97,
      100,
      4096,
      2 ** 32,
      2 ** 53,
      Number.MAX_VALUE,
      Number.NaN,
      Infinity,
      97.5,
    ]) {
      assert.throws(() => block.getUint32(offset), outside, `read at ${offset}`);
      assert.throws(() => block.setFloat32(offset, 1), outside, `write at ${offset}`);
      assert.throws(() => block.read(offset, new Uint8Array(4)), outside);
      assert.throws(() => block.write(offset, new Uint8Array(4)), outside);
      assert.throws(() => block.fill(1, offset, 4), outside);
      assert.throws(() => block.copy(offset, other, 0, 4), outside);
      assert.throws(() => block.copy(0, other, offset, 4), outside);
      assert.throws(() => block.compare(offset, other, 0, 4), outside);
      assert.throws(() => block.locate(offset, 4), outside);
      assert.throws(() => heap.pin(block, offset, 4), outside);
      assert.throws(() => heap.willNeed(block, offset, 4), outside);
      assert.throws(() => heap.dontNeed(block, offset, 4), outside);
    }
    for (const bytes of [-1, 101, 2 ** 53, Number.NaN, 0.5]) {
      assert.throws(() => block.fill(1, 0, bytes), outside);
      assert.throws(() => block.copy(0, other, 0, bytes), outside);
    }
    assert.equal(block.getUint8(0), 1);
    for (const bytes of [0, -1, 1.5, Number.NaN]) assert.throws(() => heap.alloc(bytes), outside);
  });

  it('reads and writes every type at every place around the border of two pages, as a DataView does', () => {
    using heap = createHeap(8, MEBIBYTE).heap;
    const block = heap.alloc(8192);
    const view = new DataView(new ArrayBuffer(8192));
    const numbers = ['Uint8', 'Int8', 'Uint16', 'Int16', 'Uint32', 'Int32', 'Float32', 'Float64'] as const;
    for (let offset = 4080; offset < 4104; offset++) {
      for (const [index, type] of numbers.entries()) {
        const value = (offset - 4090) * (index + 1) * 7919.25;
        block[`set${type}`](offset, value);
        view[`set${type}`](offset, value, true);
        for (const read of numbers)
          assert.equal(block[`get${read}`](offset), view[`get${read}`](offset, true));
      }
      for (const type of ['BigUint64', 'BigInt64'] as const) {
        block[`set${type}`](offset, -(3n ** BigInt(offset - 4079)));
        view[`set${type}`](offset, -(3n ** BigInt(offset - 4079)), true);
        assert.equal(block[`get${type}`](offset - 3), view[`get${type}`](offset - 3, true));
      }
    }
    const content = new Uint8Array(8192);
    block.read(0, content);
    assert.deepEqual(content, new Uint8Array(view.buffer));
  });

  it('tells where linked bytes lie, if they lie in one page', () => {
    using heap = createHeap(8, MEBIBYTE).heap;
    const block = heap.alloc(8192);
    heap.frames[block.locateToWrite(4095, 1)] = 7;
    heap.frames[block.locateToWrite(4096, 8)] = 8;
    assert.equal(heap.frames[block.locate(4095, 1)], 7);
    assert.equal(block.getUint16(4095), 8 * 256 + 7);
    assert.throws(() => block.locate(4095, 2), { code: 'SGXIO_INVALID_ARGUMENT' });
    assert.throws(() => block.locateToWrite(4090, 7), { code: 'SGXIO_INVALID_ARGUMENT' });
    block.unlink();
    heap.dontNeed(block, 0, 8192);
    assert.equal(block.getUint8(4096), 8, 'what was written there was dirty');
  });

  it('refuses to allocate beyond the store, and to go on with what it has', () => {
    using heap = createHeap(8, MEBIBYTE).heap;
    const exhausted = { code: 'SGXIO_MEMORY_EXHAUSTED' };
    assert.throws(() => heap.alloc(heap.bytes), exhausted);
    assert.throws(() => heap.alloc(2 ** 52), exhausted);
    const blocks: SecurePointer[] = [];
    assert.throws(() => {
      for (;;) blocks.push(heap.alloc(10_000));
    }, exhausted);
    assert.ok(blocks.length > 60);
    for (const block of blocks) heap.free(block);
    heap.free(heap.alloc(900_000));
  });

  it('says so when all frames are pinned, and works on when one is released', () => {
    for (const policy of POLICIES) {
      using heap = createHeap(8, MEBIBYTE, { policy }).heap;
      const block = heap.alloc(20 * 4096);
      const pins: Disposable[] = [];
      const exhausted = { code: 'SGXIO_MEMORY_EXHAUSTED', message: /8 frames.* pinned/ };
      assert.throws(() => {
        for (let page = 0; page < 20; page++) pins.push(heap.pin(block, page * 4096, 1));
      }, exhausted);
      assert.equal(pins.length, 7, 'all but the frame of the table page');
      assert.throws(() => block.getUint8(19 * 4096), exhausted);
      assert.equal(heap.resize(6), 8);
      pins.pop()![Symbol.dispose]();
      assert.equal(block.getUint8(19 * 4096), 0);
      block.unlink();
      for (const pin of pins) pin[Symbol.dispose]();
      assert.equal(heap.resize(6), 6);
    }
  });

  it('releases the pin of a pointer at the end of its scope', () => {
    using heap = createHeap(8, MEBIBYTE).heap;
    const { address } = heap.alloc(100);
    {
      using pointer = heap.pointer(address);
      pointer.setUint32(0, 7);
      assert.equal(pointer.isLinked, true);
      assert.equal(heap.linked.length, 1);
    }
    assert.equal(heap.linked.length, 0);
    assert.equal(heap.pointer(address).getUint32(0), 7);
  });

  it('knows blocks from other addresses, and one generation from the next', () => {
    using heap = createHeap(8, MEBIBYTE).heap;
    const misuse = { code: 'SGXIO_MEMORY_MISUSE' };
    const block = heap.alloc(100);
    for (const address of [0, 16, 17, block.address + 16, -16, 2 ** 40, Number.NaN]) {
      assert.throws(() => heap.pointer(address), misuse, `${address}`);
    }
    heap.free(block);
    const next = heap.alloc(100);
    assert.equal(next.address, block.address);
    assert.throws(() => block.getUint8(0), misuse);
    assert.throws(() => heap.free(block), misuse);
    next.setUint8(0, 1);
  });

  it('refuses to free pages that are pinned', () => {
    using heap = createHeap(8, MEBIBYTE).heap;
    const block = heap.alloc(8192);
    const pin = heap.pin(block, 0, 1);
    assert.throws(() => heap.free(block), { code: 'SGXIO_MEMORY_MISUSE' });
    pin[Symbol.dispose]();
    heap.free(block);
  });

  it('drops clean pages without writing them, and writes each dirty one once', () => {
    const { heap, store } = createHeap(16, MEBIBYTE);
    using _ = heap;
    const saves = new Map<number, number>();
    store.onSave = ({ position }) => {
      saves.set(position, (saves.get(position) ?? 0) + 1);
    };
    const block = heap.alloc(40 * 4096);
    for (let page = 0; page < 40; page++) block.setUint32(page * 4096, page);
    for (let round = 0; round < 3; round++) {
      for (let page = 0; page < 40; page++) assert.equal(block.getUint32(page * 4096), page);
      block.unlink();
      heap.dontNeed(block, 0, block.length);
    }
    assert.ok(heap.counters().cleanEvictions >= 100);
    assert.ok(saves.size >= 40);
    assert.deepEqual(new Set(saves.values()), new Set([1]));
  });

  it('reads ahead of a sequence, and uses what it read', () => {
    using heap = createHeap(256, 4 * MEBIBYTE).heap;
    const block = heap.alloc(2 * MEBIBYTE);
    block.fill(1);
    block.unlink();
    heap.dontNeed(block, 0, block.length);
    const faults = heap.counters().majorFaults;
    for (let page = 0; page < 200; page++) assert.equal(block.getUint8(page * 4096), 1);
    const counters = heap.counters();
    assert.ok(counters.majorFaults - faults < 40, 'most pages were there already');
    assert.ok(counters.readAheadHits > 150);
  });

  it('frees frames ahead of need', () => {
    using heap = createHeap(32, MEBIBYTE).heap;
    const block = heap.alloc(60 * 4096);
    block.fill(5);
    block.unlink();
    assert.equal(heap.reclaim(10), 10);
    const { dirtyEvictions } = heap.counters();
    for (let page = 0; page < 10; page++) block.getUint8(page * 4096);
    assert.equal(heap.counters().dirtyEvictions, dirtyEvictions, 'no fault had to evict');
    assert.ok(heap.reclaim(1000) >= 30);
  });

  it('evicts between tasks, so that the faults of the next one need not', async () => {
    const { heap, store } = createHeap(64, MEBIBYTE);
    using _ = heap;
    const block = heap.alloc(150 * 4096);
    assert.throws(() => heap.keepFree(33), { code: 'SGXIO_INVALID_ARGUMENT' });
    heap.keepFree(20);
    for (let page = 0; page < 150; page++) block.setUint16(page * 4096, page);
    block.unlink();
    for (let turn = 0; turn < 10; turn++) await nextTurn();
    assert.ok(heap.counters().freeFrames >= 20, `${heap.counters().freeFrames} frames are free`);
    const { dirtyEvictions } = heap.counters();
    for (let page = 0; page < 19; page++) assert.equal(block.getUint16(page * 7 * 4096), page * 7);
    assert.equal(heap.counters().dirtyEvictions, dirtyEvictions, 'no fault had to evict');
    store.onSave = () => {
      throw new Error('full');
    };
    for (let turn = 0; turn < 10; turn++) await nextTurn();
    store.onSave = undefined;
    for (let page = 0; page < 150; page++) assert.equal(block.getUint16(page * 4096), page);
  });

  it('opens only the sub-pages that a sparse read needs', () => {
    using heap = createHeap(8, MEBIBYTE).heap;
    const block = heap.alloc(64 * 4096, { sparse: true });
    for (let at = 0; at < block.length; at += 1000) block.setUint32(at, at);
    block.unlink();
    heap.dontNeed(block, 0, block.length);
    const before = heap.counters();
    const value = new DataView(new ArrayBuffer(4));
    const bytes = new Uint8Array(value.buffer);
    for (let at = 0; at < block.length; at += 1000) {
      block.read(at, bytes);
      assert.equal(value.getUint32(0, true), at);
    }
    const after = heap.counters();
    assert.equal(after.majorFaults, before.majorFaults);
    const reads = after.directReads - before.directReads;
    assert.ok(reads >= Math.floor(block.length / 1000));
    assert.ok(after.openedBytes - before.openedBytes <= 2 * reads * 1024);
  });

  it('keeps every page when the store fails, and says what the store said', () => {
    const { heap, store } = createHeap(8, MEBIBYTE);
    using _ = heap;
    const block = heap.alloc(20 * 4096);
    for (let page = 0; page < 20; page++) block.setUint32(page * 4096, page);
    const gone = new Error('the host is gone');
    store.onSave = () => {
      throw gone;
    };
    store.onLoad = store.onSave;
    block.setUint32(19 * 4096, 19);
    assert.throws(() => block.setUint32(0, 1000), gone);
    assert.throws(() => heap.reclaim(8), gone);
    assert.equal(block.getUint32(19 * 4096), 19);
    store.onSave = undefined;
    store.onLoad = undefined;
    for (let page = 0; page < 20; page++) assert.equal(block.getUint32(page * 4096), page);
  });

  it('makes and frees no blocks after a store failed in the middle of an allocation', () => {
    const { heap, store } = createHeap(8, MEBIBYTE);
    using _ = heap;
    const block = heap.alloc(20 * 4096);
    block.fill(1);
    block.unlink();
    store.onSave = () => {
      throw new Error('full');
    };
    store.onLoad = store.onSave;
    assert.throws(() => {
      for (let count = 0; count < 100; count++) heap.alloc(4000);
    }, /full/);
    store.onSave = undefined;
    store.onLoad = undefined;
    const inDoubt = { code: 'SGXIO_MEMORY_EXHAUSTED', message: /in the middle of an allocation/ };
    assert.throws(() => heap.alloc(16), inDoubt);
    assert.throws(() => heap.free(block), inDoubt);
    assert.equal(block.getUint8(0), 1);
  });

  it('refuses memory too small, a store too small, and caches of no use', () => {
    const invalid = { code: 'SGXIO_INVALID_ARGUMENT' };
    assert.throws(() => createHeap(8, 4160), invalid);
    assert.throws(() => createHeap(8, MEBIBYTE, { frames: 5 }), invalid);
    assert.throws(() => createHeap(8, MEBIBYTE, { frames: 1000 }), invalid);
    using heap = createHeap(8, MEBIBYTE).heap;
    assert.throws(() => heap.resize(3), invalid);
    assert.throws(() => heap.resize(100), invalid);
  });
});
