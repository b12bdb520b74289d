import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { evenShares } from '../../src/host/memory-budget.ts';
import { Enclave, type Image, MemoryBudget } from '../../src/index.ts';
import type * as program from '../enclave/memory/enclave.program.ts';
import { until } from '../support/conditions.ts';
import { buildProgram } from '../support/enclaves.ts';

const MEBIBYTE = 2 ** 20;
const PAGE_BYTES = 4096;
const LEAST = 20;
const PRIVATE_BYTES = MEBIBYTE;

const image: Image = await buildProgram('test/enclave/memory/enclave.program', {
  storeBytes: 4 * MEBIBYTE,
  privateMemoryBytes: PRIVATE_BYTES,
});

/** An enclave with a block of 3 MiB, of which every page was written. */
async function start(leastFrames?: number): Promise<Enclave<typeof program>> {
  const enclave = await Enclave.create<typeof program>(image, { startTimeout: 60_000 });
  try {
    const options = { privateBytes: PRIVATE_BYTES, ...(leastFrames === undefined ? {} : { leastFrames }) };
    await enclave.launch('make', options);
    await enclave.launch('allocate', 3 * MEBIBYTE);
    await enclave.launch('fill', 1);
    return enclave;
  } catch (error) {
    await enclave.stop();
    throw error;
  }
}

describe('a heap that lets its host resize it', () => {
  test('shrinks and grows within its bounds, and loses nothing', async () => {
    await using enclave = await start(LEAST);
    const { frames, least, most } = await enclave.balloon();
    assert.deepEqual([frames, least], [most, LEAST]);
    assert.equal((await enclave.balloon(100)).frames, 100);
    assert.equal((await enclave.launch('counters')).frames, 100);
    assert.equal(await enclave.launch('findWrong', 1), -1);
    assert.equal((await enclave.balloon(1)).frames, LEAST);
    assert.equal(await enclave.launch('findWrong', 1), -1);
    assert.equal((await enclave.balloon(2 ** 40)).frames, most);
    assert.equal(await enclave.launch('findWrong', 1), -1);
    assert.equal(await enclave.launch('resize', 50), 50, 'the program resizes it too');
    assert.equal((await enclave.balloon()).frames, 50);
  });

  test('refuses what is no number of frames', async () => {
    await using enclave = await start(LEAST);
    for (const frames of [0.5, Number.NaN, '7', null]) {
      await assert.rejects(enclave.balloon(frames as number), { code: 'SGXIO_LAUNCH_REJECTED' });
    }
  });

  test('is not there unless the program made it so', async () => {
    await using enclave = await start();
    await assert.rejects(enclave.balloon(50), { code: 'SGXIO_LAUNCH_REJECTED' });
    await assert.rejects(start(1), /leastFrames is from 6 to/);
  });
});

describe('a budget', () => {
  test('is shared evenly by enclaves that come and go', async () => {
    const budget = new MemoryBudget(200 * PAGE_BYTES);
    await using first = await start(LEAST);
    await budget.add(first);
    assert.equal((await first.balloon()).frames, 200);
    const second = await start(LEAST);
    await budget.add(second);
    assert.deepEqual([(await first.balloon()).frames, (await second.balloon()).frames], [100, 100]);
    for (const enclave of [first, second]) assert.equal(await enclave.launch('findWrong', 1), -1);
    await second.stop();
    await until(async () => (await first.balloon()).frames === 200);
  });

  test('takes no enclave in that it cannot give the least', async () => {
    const budget = new MemoryBudget((LEAST + 10) * PAGE_BYTES);
    await using first = await start(LEAST);
    await using second = await start(LEAST);
    await budget.add(first);
    await assert.rejects(budget.add(second), { code: 'SGXIO_INVALID_ARGUMENT' });
    assert.equal((await first.balloon()).frames, LEAST + 10);
  });

  test('is shared to the last frame, within all bounds, and evenly', () => {
    const bound = fc
      .tuple(fc.nat({ max: 100 }), fc.nat({ max: 100 }))
      .map(([least, more]) => ({ least, most: least + more }));
    fc.assert(
      fc.property(fc.array(bound, { minLength: 1, maxLength: 8 }), fc.nat({ max: 800 }), (bounds, spare) => {
        const least = bounds.reduce((sum, each) => sum + each.least, 0);
        const most = bounds.reduce((sum, each) => sum + each.most, 0);
        const total = least + spare;
        const shares = evenShares(total, bounds);
        const sum = shares.reduce((all, share) => all + share, 0);
        assert.ok(sum <= total);
        assert.ok(sum > Math.min(total, most) - bounds.length, `${sum} of ${total}`);
        for (const [index, share] of shares.entries()) {
          assert.ok(share >= bounds[index]!.least && share <= bounds[index]!.most);
          // Whoever has more than another got it as its least, or the other is full.
          for (const [other, smaller] of shares.entries()) {
            if (smaller < share - 1) {
              assert.ok(share === bounds[index]!.least || smaller === bounds[other]!.most);
            }
          }
        }
      }),
    );
  });
});
