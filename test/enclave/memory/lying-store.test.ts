import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { declare } from '../../../src/linux/ffi.ts';
import { createSealedMemory } from '../../../src/linux/memory.ts';
import { LyingHost } from '../../support/lying-host.ts';
import { buildProgram } from '../../support/service-enclaves.ts';

const MEBIBYTE = 2 ** 20;
const SLOT_BYTES = 4160;
const STORE_BYTES = 4 * MEBIBYTE;
const TABLE_PAGES = 2;

const image = await buildProgram(import.meta.dirname, 'enclave.program.js', {
  privateMemoryBytes: MEBIBYTE,
  storeBytes: STORE_BYTES,
});

const memfdCreate: (name: string, flags: number) => number = declare('int memfd_create(const char *, uint)');
const ftruncate: (fd: number, bytes: number) => number = declare('int ftruncate(int, int64)');

interface Victim extends AsyncDisposable {
  readonly host: LyingHost;
  /** The slot of a page of its block in the store, as the host sees it. */
  slot(page: number): Uint8Array;
  /** The number of that page in the store. */
  numberOf(page: number): number;
}

/** A live enclave whose pages all lie in the store. */
async function start(): Promise<Victim> {
  const host = await LyingHost.start(image);
  await host.launch('make', { privateBytes: MEBIBYTE });
  const address = Number(await host.launch('allocate', 2 * MEBIBYTE));
  await host.launch('fill', 1);
  await host.launch('evict');
  const numberOf = (page: number): number => address / 4096 + page + TABLE_PAGES;
  return {
    host,
    numberOf,
    slot: (page) => host.store.subarray(numberOf(page) * SLOT_BYTES, (numberOf(page) + 1) * SLOT_BYTES),
    [Symbol.asyncDispose]: () => host[Symbol.asyncDispose](),
  };
}

/** Page 9 is in private memory and stays right; page 5 is refused by its name, and nothing is read after it. */
async function assertNamed({ host, numberOf }: Victim): Promise<void> {
  const tampered = {
    innerCode: 'SGXIO_PAGE_TAMPERED',
    message: new RegExp(`^page ${numberOf(5)} of`),
  };
  await assert.rejects(host.launch('read', 5), tampered);
  await assert.rejects(host.launch('read', 6), tampered, 'an honest page');
  assert.equal(await host.launch('read', 9), 10);
}

describe('a host that lies in the shared store of a live enclave', () => {
  test('F1: flips a bit, anywhere in a page or its tag', async () => {
    for (const at of [0, 2000, 4095, 4096, 4111]) {
      await using victim = await start();
      assert.equal(await victim.host.launch('read', 9), 10);
      victim.slot(5)[at]! ^= 4;
      await assertNamed(victim);
    }
  });

  test('F2: puts another page of the same heap there', async () => {
    await using victim = await start();
    assert.equal(await victim.host.launch('read', 9), 10);
    victim.slot(5).set(victim.slot(7));
    await assertNamed(victim);
  });

  test('F3: puts back what was there before', async () => {
    await using victim = await start();
    const before = victim.slot(5).slice();
    await victim.host.launch('fill', 1);
    await victim.host.launch('evict');
    assert.notDeepEqual(victim.slot(5).slice(), before, 'the same page, sealed anew');
    assert.equal(await victim.host.launch('read', 9), 10);
    victim.slot(5).set(before);
    await assertNamed(victim);
  });

  test('F3: puts back the versions that were there before, with their pages', async () => {
    await using victim = await start();
    const { host } = victim;
    const before = host.store.slice(0, 600 * SLOT_BYTES);
    await host.launch('fill', 1);
    await host.launch('evict');
    assert.notDeepEqual(
      victim.slot(5).slice(),
      before.slice(victim.numberOf(5) * SLOT_BYTES).slice(0, SLOT_BYTES),
    );
    host.store.set(before);
    await assert.rejects(host.launch('read', 5), { innerCode: 'SGXIO_PAGE_TAMPERED' });
  });

  test('sees nothing of what a page holds, in the store', async () => {
    const victim = await start();
    await using host = victim.host;
    const plain = new Uint8Array(new Float64Array([6]).buffer);
    assert.equal(Buffer.from(victim.slot(5)).subarray(0, 8).equals(plain), false);
    assert.equal(await host.launch('read', 5), 6);
  });

  test('6f: gives memory for the store that it could take away', async () => {
    for (const storeMemory of [
      (bytes: number) => createSealedMemory('short', bytes / 2),
      (bytes: number) => {
        const memory = memfdCreate('unsealed', 0);
        ftruncate(memory, bytes);
        return memory;
      },
    ]) {
      await using host = await LyingHost.start(image, { storeMemory });
      const { code, message } = await host.ended;
      assert.equal(code, 'SGXIO_HOST_VIOLATION');
      assert.match(message, /the store is not/);
    }
  });
});
