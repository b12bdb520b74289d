import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { test } from 'node:test';
import { BOOK_WORDS, Word } from '../../../src/enclave/protected/books.ts';
import { Incoming } from '../../../src/enclave/protected/incoming.ts';
import { FileTamperedError, SystemError } from '../../../src/errors.ts';
import { BLOCK, createMount, HostFile, openMount, pattern, readFile, writeFile } from './support.ts';

const BLOCKS = 600;
const LARGE = 1400;
/** Interruptions of reading on, most of them for the eleven index blocks and the start of each run. */
const RUNS_MAX = 50;

function readBlocks(
  mount: ReturnType<typeof openMount>,
  path: string,
  first: number,
  end: number,
): Uint8Array {
  using file = mount.open(path);
  const whole = new Uint8Array((end - first) * BLOCK);
  for (let block = first; block < end; block++) {
    const at = (block - first) * BLOCK;
    file.read(whole.subarray(at, at + BLOCK), { position: block * BLOCK });
  }
  return whole;
}

test('a file that is read in order is read in few pieces, and the first of each run before it is asked for', () => {
  const { mount, file } = createMount();
  writeFile(mount, '/a', pattern(1, LARGE * BLOCK));
  mount.close();
  const again = openMount(file, { blocks: BLOCKS });
  file.reads = 0;
  let readAhead = 0;
  file.beforeStartedRead = (position, length) => {
    if (length === 16 * BLOCK) readAhead = Math.max(readAhead, position + length);
  };
  const half = readBlocks(again, '/a', 0, LARGE / 2);
  assert.deepEqual(half, pattern(1, LARGE * BLOCK).slice(0, half.length));
  assert.ok(file.reads < LARGE / 2 / 10, `${file.reads} reads`);
  assert.ok(readAhead >= half.length);
});

test('a file that was written in order through a full cache lies in order in the store', () => {
  const { mount, file } = createMount({ blocks: BLOCKS });
  writeFile(mount, '/a', pattern(1, LARGE * BLOCK));
  mount.close();
  const again = openMount(file, { blocks: BLOCKS });
  readBlocks(again, '/a', 0, 1);
  file.reads = 0;
  let runs = 0;
  let end = 0;
  file.beforeRead = (position, length) => {
    if (position !== end) runs++;
    end = position + length;
  };
  const whole = readBlocks(again, '/a', 0, LARGE);
  assert.deepEqual(whole, pattern(1, LARGE * BLOCK));
  assert.ok(runs < RUNS_MAX, `${runs} runs`);
});

test('what was read ahead is used, but not once the store was written', () => {
  const words = new Int32Array(BOOK_WORDS);
  const file = new HostFile(pattern(1, 256 * BLOCK));
  const incoming = new Incoming(words, file);
  const readRun = (slot: number): void => {
    const run = new Uint8Array(64 * BLOCK);
    incoming.start(slot, run);
    incoming.readAhead(slot + 64, 16);
    incoming.require(63);
    incoming.end();
    assert.ok(Buffer.from(run).equals(file.content.subarray(slot * BLOCK, (slot + 64) * BLOCK)));
  };
  readRun(0);
  file.reads = 0;
  readRun(64);
  assert.equal(file.reads, 4, 'three pieces, and the first of the next run');
  file.put(128 * BLOCK, pattern(2, 64 * BLOCK));
  words[Word.storeWrites]! += 1;
  readRun(128);
});

test('an error of the host in a piece that nobody asked for yet is told to who asks for it', () => {
  const { mount, file } = createMount();
  writeFile(mount, '/a', pattern(1, LARGE * BLOCK));
  mount.close();
  const again = openMount(file, { blocks: BLOCKS });
  const bad = 500 * BLOCK;
  file.beforeRead = (position, length) => {
    if (position <= bad && bad < position + length)
      throw new SystemError('EIO', -constants.errno.EIO, 'read');
  };
  const whole = pattern(1, LARGE * BLOCK);
  using open = again.open('/a');
  const bytes = new Uint8Array(BLOCK);
  let failed = 0;
  for (let block = 0; block < LARGE; block++) {
    try {
      open.read(bytes, { position: block * BLOCK });
      assert.ok(Buffer.from(bytes).equals(whole.subarray(block * BLOCK, (block + 1) * BLOCK)));
    } catch (error) {
      assert.equal((error as SystemError).code, 'EIO');
      failed++;
    }
  }
  assert.ok(failed >= 1 && failed <= 64, `${failed} failed`);
  file.beforeRead = undefined;
  assert.deepEqual(readFile(again, '/a'), whole);
});

test('a store that ends in the middle of what is read ahead', () => {
  const { mount, file } = createMount();
  writeFile(mount, '/a', pattern(1, LARGE * BLOCK));
  mount.close();
  const shorter = new HostFile(file.content.slice(0, 1000 * BLOCK));
  const again = openMount(shorter, { blocks: BLOCKS });
  assert.throws(() => readBlocks(again, '/a', 0, LARGE), FileTamperedError);
});
