import assert from 'node:assert/strict';
import { test } from 'node:test';
import { measureMemory } from '../../../scripts/protected-memory.ts';

const BITS_PER_SLOT = 2;
const BLOCK = 4096;
/** Room for bits is made in steps of 64 KiB, and some code is compiled late; 10 GB stay within 1 MiB with it. */
const SLACK_BYTES = 430_000;

test('a file takes the memory of the cache, two bits for each of its blocks, and no more', () => {
  const { fileBytes, beyondCacheBytes } = measureMemory(200_000_000, 512);
  const bits = ((fileBytes / BLOCK) * BITS_PER_SLOT) / 8;
  assert.ok(
    beyondCacheBytes < bits + SLACK_BYTES,
    `${beyondCacheBytes} bytes, of which ${bits} are the bits`,
  );
});
