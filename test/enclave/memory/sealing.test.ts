import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { drawMasterKey, PageSealer, type SealingState } from '../../../src/enclave/memory/sealing.ts';
import { type AesGcm, createAesGcm, type KeyBytes, type MappedMemory } from '../../../src/linux/openssl.ts';
import { createHeap, MEBIBYTE, ordinaryMemory, seededRandom } from './support.ts';

const INPUT = 4096;
const SEALED = 8192;
const OPENED = 16384;

function createSealer(sealsPerKey: number): {
  sealer: PageSealer;
  state: SealingState;
  bytes: Uint8Array<ArrayBuffer>;
} {
  const memory = ordinaryMemory(32768);
  const state = {
    seals: new Float64Array(memory.buffer, 0, 1),
    master: new Uint8Array(memory.buffer, 64, 32),
    scratch: new Uint8Array(memory.buffer, 128, 64),
  };
  drawMasterKey(state);
  const bytes = new Uint8Array(memory.buffer);
  for (let index = 0; index < 4096; index++) bytes[INPUT + index] = index * 7;
  return {
    sealer: new PageSealer(memory, state, { keyBytes: 16, sealsPerKey, cipher: createAesGcm }),
    state,
    bytes,
  };
}

/** Notes each key with each nonce that is used to seal. */
function recording(seen: string[]): (memory: MappedMemory, keyBytes: KeyBytes) => AesGcm {
  return (memory, keyBytes) => {
    const inner = createAesGcm(memory, keyBytes);
    const bytes = Buffer.from(memory.buffer);
    let key = '';
    return {
      implementation: inner.implementation,
      setKey(at) {
        key = bytes.toString('hex', at, at + keyBytes);
        inner.setKey(at);
      },
      seal(nonce, input, length, output, tag) {
        seen.push(`${key} ${bytes.toString('hex', nonce, nonce + 12)}`);
        inner.seal(nonce, input, length, output, tag);
      },
      open: (nonce, input, length, output, tag) => inner.open(nonce, input, length, output, tag),
      openWithin: (other, offset, length, nonce, tag) => inner.openWithin(other, offset, length, nonce, tag),
      close: () => inner.close(),
    };
  };
}

describe('the sealing of pages', () => {
  it('opens only the page, sub-page and version that was sealed, in its form', () => {
    const { sealer, bytes } = createSealer(2 ** 32);
    const version = sealer.nextVersion();
    sealer.sealPage(9, version, INPUT, SEALED);
    assert.equal(sealer.openPage(9, version, SEALED, OPENED), true);
    assert.ok(Buffer.from(bytes.subarray(OPENED, OPENED + 4096)).equals(bytes.subarray(INPUT, INPUT + 4096)));
    assert.equal(sealer.openPage(8, version, SEALED, OPENED), false, 'another page');
    assert.ok(
      bytes.subarray(OPENED, OPENED + 4096).every((byte) => byte === 0),
      'wiped',
    );
    assert.equal(sealer.openPage(9, version + 1, SEALED, OPENED), false, 'another version');
    assert.equal(sealer.openSubPages(9, version, SEALED, OPENED), false, 'another form');
    sealer.sealSubPages(9, version + 2, INPUT, SEALED);
    for (let index = 0; index < 4; index++) {
      const from = SEALED + index * 1040;
      assert.equal(sealer.openSubPage(9, index, version + 2, from, OPENED), true);
      assert.equal(sealer.openSubPage(9, (index + 1) % 4, version + 2, from, OPENED), false);
    }
    sealer.close();
  });

  it('opens pages of every generation of keys', () => {
    const { sealer, state, bytes } = createSealer(3);
    const sealed: { version: number; slot: Uint8Array }[] = [];
    for (let count = 0; count < 20; count++) {
      const version = sealer.nextVersion();
      sealer.sealPage(1, version, INPUT, SEALED);
      sealed.push({ version, slot: bytes.slice(SEALED, SEALED + 4160) });
    }
    for (const { version, slot } of sealed.reverse()) {
      bytes.set(slot, SEALED);
      assert.equal(sealer.openPage(1, version, SEALED, OPENED), true, `version ${version}`);
    }
    assert.ok(
      state.scratch.subarray(0, 32).every((byte) => byte === 0),
      'no key is left behind',
    );
    sealer.close();
  });

  it('stops before its versions are used up', () => {
    const { sealer, state } = createSealer(2 ** 32);
    state.seals[0] = 2 ** 52 - 2;
    const last = sealer.nextVersion();
    assert.equal(last * 2 + 1, Number.MAX_SAFE_INTEGER);
    sealer.sealPage(1, last, INPUT, SEALED);
    assert.equal(sealer.openPage(1, last, SEALED, OPENED), true);
    assert.throws(() => sealer.nextVersion(), RangeError);
    sealer.close();
  });

  it('never uses a nonce twice under one key, whatever is done to the heap (F5, F6)', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 2, max: 40 }), (seed, sealsPerKey) => {
        const seen: string[] = [];
        const { heap, store } = createHeap(8, MEBIBYTE, { sealsPerKey, cipher: recording(seen) });
        const below = seededRandom(seed);
        let block = heap.alloc(20 * 4096, { sparse: below(2) === 0 });
        for (let step = 0; step < 150; step++) {
          if (below(10) === 0) {
            // A store that fails gets the page again later; by then it is sealed anew.
            store.onSave = () => {
              throw new Error('full');
            };
            assert.throws(() => heap.reclaim(8) < 8 || block.setUint8(below(block.length), 1));
            store.onSave = undefined;
          } else if (below(20) === 0) {
            heap.free(block);
            block = heap.alloc(20 * 4096, { sparse: below(2) === 0 });
          } else {
            for (let writes = 0; writes < 4; writes++) block.setUint8(below(block.length), below(256));
          }
        }
        heap.close();
        assert.ok(seen.length > 100);
        assert.equal(new Set(seen).size, seen.length);
        assert.ok(new Set(seen.map((line) => line.split(' ')[0])).size > 1, 'more than one key');
      }),
      { numRuns: 20 },
    );
  });
});
