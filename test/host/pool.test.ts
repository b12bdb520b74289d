import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, fstatSync, openSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Request } from '../../src/boundary/ring.ts';
import { Blocking } from '../../src/host/blocking.ts';
import { BlockingCall } from '../../src/host/blocking-call.ts';
import { Executor } from '../../src/host/executor.ts';
import { HostFile } from '../../src/host/files.ts';
import { Pool } from '../../src/host/pool.ts';
import { BLOCKING_CALLS_MAX, BLOCKING_THREADS_MAX } from '../../src/limits.ts';
import { Structure } from '../../src/linux/structure.ts';
import { temporaryDirectory } from '../support/service-enclaves.ts';

const { ECANCELED, ETIMEDOUT } = constants.errno;
const BYTES = 16;

/** An executor with a pool, and a pipe whose reads block until something is written. */
class Bench {
  readonly answers = new Map<number, number>();
  readonly executor: Executor;
  readonly pool: Pool;
  readonly pipe: number;
  readonly room = new Structure(BYTES);

  constructor(t: TestContext) {
    const path = join(temporaryDirectory(t), 'pipe');
    execFileSync('mkfifo', [path]);
    this.pipe = openSync(path, 'r+');
    const grants = { listen: [], connect: [], files: [], streams: [], names: false };
    const sink = {
      complete: (id: number, result: number) => {
        assert.equal(this.answers.has(id), false, `call ${id} was answered twice`);
        this.answers.set(id, result);
      },
    };
    this.executor = new Executor({}, grants, 0, Number.MAX_SAFE_INTEGER, sink);
    this.pool = new Pool(this.executor);
    this.executor.blocking = this.pool;
  }

  request(id: number, timeout = -1): Request {
    return Object.assign(new Request(), { id, payload: this.room.address, length: BYTES, timeout });
  }

  read(id: number, timeout = -1): void {
    const call = { operation: Blocking.read, descriptor: this.pipe };
    this.executor.block(new BlockingCall(this.executor, this.request(id, timeout), call));
  }

  /** Serves until so many calls are answered. */
  answered(count: number): void {
    while (this.answers.size < count) this.executor.poll(-1);
  }

  async end(): Promise<void> {
    await this.pool.close(this.executor);
    closeSync(this.pipe);
  }
}

test('a call that blocks holds a thread of the pool, and no other call', async (t) => {
  const bench = new Bench(t);
  bench.read(1);
  bench.executor.block(new BlockingCall(bench.executor, bench.request(2), { operation: Blocking.open }));
  bench.answered(1);
  assert.deepEqual([...bench.answers.keys()], [2]);
  writeSync(bench.pipe, 'data');
  bench.answered(2);
  assert.equal(bench.answers.get(1), 4);
  assert.equal(Buffer.from(bench.room.bytes.subarray(0, 4)).toString(), 'data');
  await bench.end();
});

test('a call that is cancelled or late is answered while its thread still blocks', async (t) => {
  const bench = new Bench(t);
  bench.read(1);
  bench.read(2, 5);
  bench.executor.cancel(1, ECANCELED);
  bench.answered(2);
  assert.deepEqual([bench.answers.get(1), bench.answers.get(2)], [-ECANCELED, -ETIMEDOUT]);
  // What the threads read after that goes nowhere.
  bench.room.bytes.fill(7);
  writeSync(bench.pipe, Buffer.alloc(2 * BYTES));
  await bench.end();
  assert.deepEqual([...bench.room.bytes], new Array(BYTES).fill(7));
  assert.equal(bench.answers.size, 2);
});

test('a file that is closed while a thread is in it stays open until the thread is back', async (t) => {
  const bench = new Bench(t);
  const handle = bench.executor.open(new HostFile(bench.pipe));
  const file = bench.executor.resource(handle) as HostFile;
  file.start(bench.executor, bench.request(1), { operation: Blocking.read });
  assert.equal(bench.executor.closeHandle(handle), 0);
  assert.equal(bench.answers.get(1), -ECANCELED);
  assert.ok(fstatSync(bench.pipe).isFIFO());
  writeSync(bench.pipe, 'x');
  await bench.pool.close(bench.executor);
  assert.throws(() => fstatSync(bench.pipe), { code: 'EBADF' });
});

test('calls beyond the slots wait their turn, on a bounded number of threads', async (t) => {
  const bench = new Bench(t);
  const count = BLOCKING_CALLS_MAX * 2 + 3;
  for (let id = 1; id <= count; id++) bench.read(id);
  assert.ok(bench.pool.threadCount <= BLOCKING_THREADS_MAX);
  bench.executor.cancel(count, ECANCELED);
  writeSync(bench.pipe, Buffer.alloc((count - 1) * BYTES));
  bench.answered(count);
  for (let id = 1; id < count; id++) assert.equal(bench.answers.get(id), BYTES);
  await bench.end();
});

test('threads that are idle end, and start again when there is work', async (t) => {
  const bench = new Bench(t);
  assert.equal(bench.pool.threadCount, 0);
  for (let id = 1; id <= 2; id++) {
    bench.read(id);
    writeSync(bench.pipe, 'x');
    bench.answered(id);
    assert.equal(bench.pool.threadCount, 1);
    while (!bench.pool.wantsTurn) bench.executor.poll(-1);
    while (bench.pool.wantsTurn) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(bench.pool.threadCount, 0);
  }
  await bench.end();
});
