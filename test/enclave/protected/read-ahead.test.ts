import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { test } from 'node:test';
import type { StartedRead } from '../../../src/enclave/protected/block-file.ts';
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

test('what was read early is used by the run that begins with it, and read again by another', () => {
  const file = new HostFile(pattern(1, 256 * BLOCK));
  const incoming = new Incoming(file);
  const readRun = (slot: number, blocks: number): void => {
    const run = new Uint8Array(blocks * BLOCK);
    incoming.start(slot, run);
    incoming.require(blocks - 1);
    incoming.end();
    assert.ok(Buffer.from(run).equals(file.content.subarray(slot * BLOCK, (slot + blocks) * BLOCK)));
  };
  incoming.readEarly(64, 16);
  incoming.readEarly(64, 16);
  assert.equal(file.reads, 1);
  readRun(64, 64);
  assert.equal(file.reads, 4, 'three pieces more');
  incoming.readEarly(128, 16);
  file.put(128 * BLOCK, pattern(2, 64 * BLOCK));
  readRun(128, 8);
  assert.equal(incoming.isEarly, false);
  for (let slot = 0; slot < 100; slot++) incoming.readEarly(slot, 1);
  file.reads = 0;
  readRun(99, 1);
  assert.equal(file.reads, 0, 'the newest');
  readRun(0, 1);
  assert.equal(file.reads, 1, 'the oldest was given up');
});

test('what was read early and does not open is read again before it counts as tampered with', () => {
  const { mount, file } = createMount();
  writeFile(mount, '/a', pattern(1, LARGE * BLOCK));
  mount.close();
  const whole = pattern(1, LARGE * BLOCK);
  for (const blocks of [1, 16, 64]) {
    const old = new OldWhenEarly(file.content.slice());
    const again = openMount(old, { blocks: 128 });
    for (let first = 0; first < LARGE; first += blocks) {
      old.operation++;
      const end = Math.min(LARGE, first + blocks);
      assert.ok(readAt(again, '/a', first, end).equals(whole.subarray(first * BLOCK, end * BLOCK)));
    }
    assert.ok(old.spoiled > LARGE / 100, `${old.spoiled} pieces`);
  }
});

function readAt(mount: ReturnType<typeof openMount>, path: string, first: number, end: number): Buffer {
  using file = mount.open(path);
  const bytes = new Uint8Array((end - first) * BLOCK);
  file.read(bytes, { position: first * BLOCK });
  return Buffer.from(bytes.buffer);
}

/** A host whose answers to what an earlier operation asked for are of another time. */
class OldWhenEarly extends HostFile {
  operation = 0;
  spoiled = 0;

  override startRead(position: number, length: number): StartedRead {
    const read = super.startRead(position, length);
    const asked = this.operation;
    return {
      ...read,
      finish: (target) => {
        const count = read.finish(target);
        if (asked === this.operation) return count;
        for (let at = 0; at < target.length; at += BLOCK) target[at]! ^= 1;
        this.spoiled++;
        return count;
      },
    };
  }
}

/** A whole file by reads of so many blocks each. */
function readInOrder(mount: ReturnType<typeof openMount>, path: string, blocks: number): Uint8Array {
  using file = mount.open(path);
  const whole = new Uint8Array(file.stat().size);
  for (let at = 0; at < whole.length; at += blocks * BLOCK) {
    const part = whole.subarray(at, at + blocks * BLOCK);
    assert.equal(file.read(part), part.length);
  }
  return whole;
}

async function readInOrderAsync(
  mount: ReturnType<typeof openMount>,
  path: string,
  bytes: number,
): Promise<Uint8Array> {
  using file = mount.open(path);
  const whole = new Uint8Array(file.stat().size);
  for (let at = 0; at < whole.length; at += bytes) {
    const part = whole.subarray(at, at + bytes);
    assert.equal(await file.readAsync(part), part.length);
  }
  return whole;
}

test('a scan of a file that is much larger than the cache goes past it, one of a smaller file does not', () => {
  const { mount, file } = createMount();
  writeFile(mount, '/a', pattern(1, LARGE * BLOCK));
  mount.close();
  for (const [frames, isCached] of [
    [LARGE / 2 - 10, false],
    [LARGE / 2 + 10, true],
  ] as const) {
    const again = openMount(file, { blocks: frames });
    using open = again.open('/a');
    const bytes = new Uint8Array(16 * BLOCK);
    while (open.read(bytes) > 0);
    file.reads = 0;
    open.read(bytes, { position: (LARGE - 16) * BLOCK });
    assert.equal(file.reads === 0, isCached);
  }
});

test('a scan sees what was written and not synced, holes, and the end within a block', async () => {
  const { mount, file } = createMount({ blocks: 128 });
  const bytes = pattern(1, LARGE * BLOCK + 1234);
  {
    using open = mount.open('/a', 'w');
    open.write(bytes.subarray(0, 700 * BLOCK), { position: 0 });
    open.write(bytes.subarray(800 * BLOCK), { position: 800 * BLOCK });
    bytes.fill(0, 700 * BLOCK, 800 * BLOCK);
    open.sync();
    for (const block of [300, 301, 555, 1000]) {
      const changed = pattern(block, BLOCK);
      open.write(changed, { position: block * BLOCK });
      bytes.set(changed, block * BLOCK);
    }
  }
  for (const blocks of [16, 17, 100]) assert.deepEqual(readInOrder(mount, '/a', blocks), bytes);
  assert.deepEqual(await readInOrderAsync(mount, '/a', 100_000), bytes);
  mount.sync();
  assert.deepEqual(readInOrder(openMount(file, { blocks: 128 }), '/a', 64), bytes);
});

test('asynchronous reads in order, some at a time, while others write', async () => {
  const { mount } = createMount({ blocks: 128 });
  const bytes = pattern(1, LARGE * BLOCK);
  writeFile(mount, '/a', bytes);
  writeFile(mount, '/b', bytes);
  let writing = true;
  const write = async (): Promise<void> => {
    using open = mount.open('/b', 'r+');
    for (let block = 0; writing; block = (block + 7) % LARGE) {
      await open.writeAsync(pattern(block, 3 * BLOCK), { position: block * BLOCK });
      if (block % 5 === 0) await open.syncAsync();
    }
  };
  const written = write();
  const read = await Promise.all([
    readInOrderAsync(mount, '/a', 16 * BLOCK),
    readInOrderAsync(mount, '/a', BLOCK),
    readInOrderAsync(mount, '/a', 300_001),
  ]);
  writing = false;
  await written;
  for (const whole of read) assert.deepEqual(whole, bytes);
});

test('F1: a scan names the block that was changed, and leaves nothing of what it could not open', () => {
  const { mount, file } = createMount();
  writeFile(mount, '/a', pattern(1, LARGE * BLOCK));
  mount.close();
  const whole = pattern(1, LARGE * BLOCK);
  const again = openMount(file, { blocks: 128 });
  const slots = slotsOf(file, again, '/a');
  for (const bad of [400, 411, 1100]) {
    const slot = file.slot(slots[bad]!);
    slot[5]! ^= 1;
    using open = again.open('/a');
    const bytes = new Uint8Array(16 * BLOCK).fill(9);
    let failed = -1;
    for (let block = 0; block < LARGE && failed < 0; block += 16) {
      try {
        const count = open.read(bytes, { position: block * BLOCK });
        assert.ok(
          Buffer.from(bytes.subarray(0, count)).equals(whole.subarray(block * BLOCK, block * BLOCK + count)),
        );
        bytes.fill(9);
      } catch (error) {
        assert.ok(error instanceof FileTamperedError);
        failed = error.block;
        const good = (bad - block) * BLOCK;
        assert.ok(Buffer.from(bytes.subarray(0, good)).equals(whole.subarray(block * BLOCK, bad * BLOCK)));
        assert.ok(bytes.subarray(good).every((byte) => byte === 0 || byte === 9));
      }
    }
    assert.equal(failed, bad);
    slot[5]! ^= 1;
  }
  assert.deepEqual(readInOrder(again, '/a', 16), whole);
});

/** In which slot each block lies: seen by what is read for it. */
function slotsOf(file: HostFile, mount: ReturnType<typeof openMount>, path: string): number[] {
  const slots: number[] = [];
  using open = mount.open(path);
  const bytes = new Uint8Array(BLOCK);
  for (let block = LARGE - 1; block >= 0; block--) {
    let slot = 0;
    file.beforeRead = (position, length) => {
      if (length === BLOCK) slot = position / BLOCK;
    };
    open.read(bytes, { position: block * BLOCK });
    slots[block] = slot;
  }
  file.beforeRead = undefined;
  return slots;
}

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
