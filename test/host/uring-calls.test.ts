import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, fstatSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { type TestContext, test } from 'node:test';
import { Request } from '../../src/boundary/ring.ts';
import { Blocking } from '../../src/host/blocking.ts';
import { BlockingCall, type BlockingCalls, type InUse } from '../../src/host/blocking-call.ts';
import { checkEngine, type Engine } from '../../src/host/engine.ts';
import { Executor } from '../../src/host/executor.ts';
import { HostFile } from '../../src/host/files.ts';
import { createUringMemory, releaseUringMemory, UringCalls } from '../../src/host/uring-calls.ts';
import { FILE_TRANSFER_MAX, URING_CALLS_MAX } from '../../src/limits.ts';
import { closeDescriptor } from '../../src/linux/events.ts';
import { Structure } from '../../src/linux/structure.ts';
import { ioUringRefusal, openRings } from '../support/io-uring.ts';
import { temporaryDirectory } from '../support/service-enclaves.ts';

const { ECANCELED, EPERM, ETIMEDOUT } = constants.errno;
const REFUSE_CALL = join(import.meta.dirname, '../support/refuse-call.js');
const ENGINE: string = new URL('../../src/host/engine.js', import.meta.url).href;
const EXECUTOR: string = new URL('../../src/host/executor.js', import.meta.url).href;
const SYS_IO_URING_SETUP = 425;
const BYTES = 16;
const skip = ioUringRefusal();

/** An executor with an io_uring, and a pipe: the kernel waits with its reads until something is written. */
class Bench {
  readonly answers = new Map<number, number>();
  readonly passedOn: number[] = [];
  readonly memory: SharedArrayBuffer = createUringMemory();
  readonly executor: Executor;
  readonly uring: UringCalls;
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
    const others: BlockingCalls = { start: (_, { id }) => void this.passedOn.push(id), submit: () => {} };
    this.executor = new Executor({}, grants, 0, Number.MAX_SAFE_INTEGER, sink);
    this.uring = new UringCalls(this.executor, this.memory, others);
    this.executor.blocking = this.uring;
  }

  request(id: number, timeout = -1, length = BYTES): Request {
    return Object.assign(new Request(), { id, payload: this.room.address, length, timeout });
  }

  start(request: Request, position = 0, operation: number = Blocking.read, inUse?: InUse): void {
    const call = { operation, descriptor: this.pipe, position };
    this.executor.block(new BlockingCall(this.executor, request, call, inUse));
  }

  read(id: number, timeout = -1): void {
    this.start(this.request(id, timeout));
    this.uring.submit();
  }

  /** Serves until so many calls are answered. */
  answered(count: number): void {
    while (this.answers.size < count) this.executor.poll(-1);
  }

  /** Serves until the kernel has so many calls. */
  inFlight(count: number): void {
    while (this.uring.inFlight > count) this.executor.poll(-1);
  }

  end(): void {
    this.uring.close(this.executor);
    closeDescriptor(this.executor.epoll);
    closeSync(this.pipe);
  }
}

test('what the kernel reads arrives, and nothing behind it is touched', { skip }, (t) => {
  const bench = new Bench(t);
  bench.room.bytes.fill(7);
  bench.read(1);
  bench.executor.poll(0);
  assert.equal(bench.answers.size, 0);
  writeSync(bench.pipe, 'data');
  bench.answered(1);
  assert.equal(bench.answers.get(1), 4);
  assert.equal(Buffer.from(bench.room.bytes).toString('latin1'), `data${'\x07'.repeat(BYTES - 4)}`);
  bench.end();
});

test('what is written is what was there when the call came', { skip }, (t) => {
  const bench = new Bench(t);
  bench.room.bytes.fill(7);
  bench.start(bench.request(1), 0, Blocking.write);
  bench.room.bytes.fill(8);
  bench.uring.submit();
  bench.answered(1);
  assert.equal(bench.answers.get(1), BYTES);
  const written = Buffer.alloc(2 * BYTES);
  assert.equal(readSync(bench.pipe, written), BYTES);
  assert.deepEqual([...written.subarray(0, BYTES)], new Array(BYTES).fill(7));
  assert.deepEqual([...bench.room.bytes], new Array(BYTES).fill(8));
  bench.end();
});

test('a call that is cancelled or late is answered while the kernel keeps its buffer', { skip }, (t) => {
  const bench = new Bench(t);
  bench.read(1);
  bench.read(2, 5);
  bench.executor.cancel(1, ECANCELED);
  bench.answered(2);
  assert.deepEqual([bench.answers.get(1), bench.answers.get(2)], [-ECANCELED, -ETIMEDOUT]);
  assert.equal(bench.uring.inFlight, 2);
  bench.room.bytes.fill(7);
  writeSync(bench.pipe, Buffer.alloc(2 * BYTES));
  bench.inFlight(0);
  assert.deepEqual([...bench.room.bytes], new Array(BYTES).fill(7));
  assert.equal(bench.answers.size, 2);
  bench.end();
});

test('a file that is closed while the kernel reads it stays open until that is over', { skip }, (t) => {
  const bench = new Bench(t);
  const handle = bench.executor.open(new HostFile(bench.pipe));
  const file = bench.executor.resource(handle) as HostFile;
  file.start(bench.executor, bench.request(1), { operation: Blocking.read, position: 0 });
  bench.uring.submit();
  assert.equal(bench.executor.closeHandle(handle), 0);
  assert.equal(bench.answers.get(1), -ECANCELED);
  assert.ok(fstatSync(bench.pipe).isFIFO());
  writeSync(bench.pipe, 'x');
  bench.inFlight(0);
  assert.throws(() => fstatSync(bench.pipe), { code: 'EBADF' });
  bench.uring.close(bench.executor);
  closeDescriptor(bench.executor.epoll);
});

test('what is no read or write at a position, is too long or finds every buffer taken is passed on', {
  skip,
}, (t) => {
  const bench = new Bench(t);
  bench.start(bench.request(1), -1);
  bench.start(bench.request(2), 0, Blocking.sync);
  bench.start(bench.request(3, -1, FILE_TRANSFER_MAX + 1));
  for (let id = 4; id < 4 + URING_CALLS_MAX; id++) bench.start(bench.request(id));
  bench.start(bench.request(4 + URING_CALLS_MAX));
  assert.deepEqual(bench.passedOn, [1, 2, 3, 4 + URING_CALLS_MAX]);
  writeSync(bench.pipe, Buffer.alloc(URING_CALLS_MAX * BYTES));
  bench.uring.submit();
  bench.answered(URING_CALLS_MAX);
  assert.ok([...bench.answers.values()].every((result) => result === BYTES));
  assert.equal(bench.uring.inFlight, 0);
  bench.end();
});

test('closing ends what the kernel has and what it was not given yet, and leaves no ring', { skip }, (t) => {
  const before = openRings();
  const bench = new Bench(t);
  assert.equal(openRings(), before + 1);
  let users = 0;
  const inUse: InUse = { begin: () => users++, end: () => users-- };
  for (let id = 1; id <= 3; id++) {
    bench.start(bench.request(id), 0, Blocking.read, inUse);
    if (id < 3) bench.uring.submit();
  }
  assert.equal(users, 3);
  bench.end();
  assert.deepEqual([...bench.answers.values()], [-ECANCELED, -ECANCELED, -ECANCELED]);
  assert.equal(users, 0);
  assert.equal(openRings(), before);
  releaseUringMemory(bench.memory);
});

test('a ring whose thread has ended is given back from its memory, once', { skip }, (t) => {
  const before = openRings();
  const mapped = countMappings();
  const bench = new Bench(t);
  releaseUringMemory(bench.memory);
  releaseUringMemory(bench.memory);
  assert.equal(openRings(), before);
  assert.equal(countMappings(), mapped);
  closeDescriptor(bench.executor.epoll);
  closeSync(bench.pipe);
});

function countMappings(): number {
  return readFileSync('/proc/self/maps', 'latin1').split('anon_inode:[io_uring]').length - 1;
}

test('an engine that there is not is refused', () => {
  assert.throws(() => checkEngine('epoll' as Engine), {
    code: 'SGXIO_INVALID_ARGUMENT',
    message: /no engine 'epoll'; there are auto, direct, uring/,
  });
});

test('where the kernel refuses io_uring, auto does without and uring says what to do', () => {
  const main = `
    import { checkEngine, createUringCalls } from ${JSON.stringify(ENGINE)};
    import { Executor } from ${JSON.stringify(EXECUTOR)};
    const grants = { listen: [], connect: [], files: [], streams: [], names: false };
    const executor = new Executor({}, grants, 0, 0, { complete: () => {} });
    checkEngine('auto');
    console.log(createUringCalls('auto', executor, new SharedArrayBuffer(64), executor.blocking) === undefined);
    try {
      checkEngine('uring');
    } catch (error) {
      console.log(error.code, error.message, error.cause.code);
    }`;
  const refused = execFileSync(
    process.execPath,
    ['--import', REFUSE_CALL, '--input-type=module', '-e', main],
    {
      env: { ...process.env, REFUSE_CALL: `${SYS_IO_URING_SETUP}:${EPERM}` },
      encoding: 'utf8',
    },
  );
  assert.match(
    refused,
    /^true\nSGXIO_UNSUPPORTED_MACHINE the kernel refuses io_uring: leave the engine .* EPERM\n$/,
  );
});
