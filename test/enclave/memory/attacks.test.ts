import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { SecureHeap } from '../../../src/enclave/memory/heap.ts';
import type { SecurePointer } from '../../../src/enclave/memory/pointer.ts';
import { createHeap, type HostileStore, MEBIBYTE } from './support.ts';

const PAGES = 40;
const SLOT_BYTES = 4160;

/** A heap whose block of 40 pages lies in the store, sealed, but for the last one. */
function filled(sparse: boolean): { heap: SecureHeap; store: HostileStore; block: SecurePointer } {
  const { heap, store } = createHeap(8, MEBIBYTE);
  const block = heap.alloc(PAGES * 4096, { sparse });
  for (let page = 0; page < PAGES; page++) block.setUint32(page * 4096, page + 1);
  block.unlink();
  heap.dontNeed(block, 0, block.length);
  block.setUint32((PAGES - 1) * 4096, PAGES);
  return { heap, store, block };
}

/**
 * After an attack on what page 3 is read from: the page is named, nothing of it is seen, and nothing is loaded any
 * more, while what is in private memory stays right.
 */
function assertStopped(heap: SecureHeap, block: SecurePointer): void {
  const resident = heap.pointer(block.address);
  assert.equal(resident.getUint32((PAGES - 1) * 4096), PAGES);
  const page = block.address / 4096 + 3 + 1;
  const tampered = { code: 'SGXIO_PAGE_TAMPERED', page };
  assert.throws(() => block.getUint32(3 * 4096), tampered);
  assert.throws(() => block.getUint32(7 * 4096), tampered, 'an honest page after it');
  assert.throws(() => block.getUint32(3 * 4096), tampered, 'a second try');
  assert.equal(resident.getUint32((PAGES - 1) * 4096), PAGES);
  resident.setUint32((PAGES - 1) * 4096, 99);
  assert.equal(resident.getUint32((PAGES - 1) * 4096), 99);
  heap.close();
}

const positionOf = (block: SecurePointer, page: number): number =>
  (block.address / 4096 + page + 1) * SLOT_BYTES;

describe('a store that lies', () => {
  for (const sparse of [false, true]) {
    const form = sparse ? 'sub-pages' : 'pages';

    it(`F1: is caught when it flips a bit, cuts or zeroes sealed ${form}`, () => {
      const lies: ((bytes: Uint8Array<ArrayBuffer>) => void)[] = [
        (bytes) => {
          bytes[0]! ^= 1;
        },
        (bytes) => {
          bytes[1000]! ^= 0x80;
        },
        (bytes) => {
          bytes[sparse ? 1039 : 4111]! ^= 1;
        },
        (bytes) => bytes.fill(0),
        (bytes) => bytes.fill(0, 500),
        (bytes) => bytes.copyWithin(0, 1),
      ];
      for (const lie of lies) {
        const { heap, store, block } = filled(sparse);
        store.onLoad = ({ position }, bytes) => {
          if (position === positionOf(block, 3)) lie(bytes);
        };
        assertStopped(heap, block);
      }
    });

    it(`F2: is caught when it answers with another of the heap's ${form}, or of another heap`, () => {
      for (const other of [filled(sparse), undefined]) {
        const { heap, store, block } = filled(sparse);
        const theirs = new Map<number, Uint8Array<ArrayBuffer>>();
        const source = other ?? { store, block, heap };
        source.store.onLoad = ({ position }, bytes) => {
          theirs.set(position, bytes.slice());
        };
        const from = other === undefined ? 5 : 3;
        source.block.getUint32(from * 4096);
        source.block.unlink();
        source.heap.dontNeed(source.block, from * 4096, 4096);
        const swapped = theirs.get(positionOf(source.block, from));
        assert.ok(swapped);
        store.onLoad = ({ position }, bytes) => {
          if (position === positionOf(block, 3)) bytes.set(swapped);
        };
        assertStopped(heap, block);
        other?.heap.close();
      }
    });

    it(`F3: is caught when it answers with older ${form}`, () => {
      const { heap, store, block } = filled(sparse);
      let older: Uint8Array<ArrayBuffer> | undefined;
      store.onLoad = ({ position }, bytes) => {
        if (position === positionOf(block, 3)) older = bytes.slice();
      };
      block.setUint32(3 * 4096, 1000);
      block.unlink();
      heap.dontNeed(block, 3 * 4096, 4096);
      assert.ok(older);
      const replayed = older;
      store.onLoad = ({ position }, bytes) => {
        if (position === positionOf(block, 3)) bytes.set(replayed);
      };
      assertStopped(heap, block);
    });
  }

  it('F3: is caught when it answers with an older page of versions', () => {
    const { heap, store } = createHeap(8, 8 * MEBIBYTE, { policy: 'clock' });
    const block = heap.alloc(6 * MEBIBYTE);
    const evict = () => {
      // Pages under two other tables push the first table page out.
      for (let page = 0; page < 90; page++) block.getUint8(((page % 2) + 1) * 512 * 4096 + page * 4096);
      block.unlink();
    };
    const tables = new Map<number, Uint8Array<ArrayBuffer>>();
    store.onSave = ({ position }, bytes) => {
      if (!tables.has(position)) tables.set(position, bytes.slice());
    };
    block.setUint32(0, 1);
    evict();
    block.setUint32(0, 2);
    evict();
    assert.ok(tables.has(0));
    store.onLoad = ({ position }, bytes) => {
      if (position < 4 * SLOT_BYTES && tables.has(position)) bytes.set(tables.get(position)!);
    };
    assert.throws(() => block.getUint32(0), { code: 'SGXIO_PAGE_TAMPERED', page: 0 });
    heap.close();
  });

  it('F5: sees other ciphertext and another nonce each time, for one content of one page', () => {
    const { heap, store, block } = filled(false);
    const seen = new Set<string>();
    store.onSave = ({ position }, bytes) => {
      if (position === positionOf(block, 3))
        seen.add(Buffer.from(bytes.subarray(0, 4096)).toString('latin1'));
    };
    for (let round = 0; round < 10; round++) {
      block.setUint32(3 * 4096, 4);
      block.unlink();
      heap.dontNeed(block, 3 * 4096, 4096);
    }
    assert.equal(seen.size, 10);
    heap.close();
  });

  it('F7: gains nothing by changing a page after it was copied in, and nothing by changing it on its way out', () => {
    const { heap, store, block } = filled(false);
    let changed = 0;
    // The store's own copy changes as soon as the heap has taken its copy, before the tag is checked.
    const load = store.load.bind(store);
    store.load = (transfers, count) => {
      load(transfers, count);
      const original = transfers
        .slice(0, count)
        .map(({ offset, bytes }) => store.memory.slice(offset, offset + bytes));
      for (const { offset, bytes } of transfers.slice(0, count))
        store.memory.fill(0xee, offset, offset + bytes);
      store.save(transfers, count);
      transfers.slice(0, count).forEach(({ offset }, index) => {
        store.memory.set(original[index]!, offset);
      });
      changed++;
    };
    assert.equal(block.getUint32(3 * 4096), 4, 'the private copy is what was checked');
    assert.ok(changed > 0);
    block.unlink();
    heap.dontNeed(block, 3 * 4096, 4096);
    assert.throws(() => block.getUint32(3 * 4096), { code: 'SGXIO_PAGE_TAMPERED' });
    heap.close();
  });

  it('F12: never has a page that a pointer holds, however hard it is pressed', () => {
    const { heap, store, block } = filled(false);
    using held = heap.pointer(block.address);
    held.setUint32(5 * 4096, 500);
    let sent = 0;
    store.onSave = ({ position }) => {
      if (position === positionOf(block, 5)) sent++;
    };
    heap.dontNeed(block, 0, block.length);
    heap.reclaim(8);
    heap.resize(6);
    for (let page = 0; page < PAGES; page++) block.getUint8(page * 4096);
    held.setUint32(5 * 4096 + 4, 501);
    block.unlink();
    assert.equal(sent, 0);
    held.unlink();
    heap.reclaim(6);
    assert.equal(sent, 1, 'what was written while it was linked is dirty');
    assert.equal(block.getUint32(5 * 4096 + 4), 501);
    heap.close();
  });

  it('R14: holds no link, length or other part of the allocator in the clear', () => {
    const { heap, store } = createHeap(8, MEBIBYTE);
    const images: Buffer[] = [];
    store.onSave = (_, bytes) => images.push(Buffer.from(bytes));
    const blocks = Array.from({ length: 200 }, () => heap.alloc(3000));
    for (const block of blocks) {
      block.fill(0x5a);
      block.unlink();
    }
    for (const block of blocks.filter((_, index) => index % 2 === 0)) heap.free(block);
    heap.reclaim(8);
    assert.ok(images.length > 100);
    for (const image of images) {
      assert.ok(!image.includes(Buffer.alloc(8, 0x5a)));
      assert.ok(!image.includes(Buffer.alloc(16)), 'zeros show that a page is not sealed');
    }
    heap.close();
  });
});
