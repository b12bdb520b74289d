import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import type { Worker } from 'node:worker_threads';
import type { Enclave, Image } from '../../src/index.ts';
import { check } from '../../src/linux/ffi.ts';
import { forgetCached } from '../../src/linux/files.ts';
import type { Outcome, Step } from '../support/calls.program.ts';
import { until } from '../support/conditions.ts';
import { ioUringRefusal, openRings } from '../support/io-uring.ts';
import { buildProgram, startEnclave, temporaryDirectory } from '../support/service-enclaves.ts';

const ENGINES = ['direct', 'uring'] as const;
const PAGE = 4096;
/** Of each page: what all reads bring fits the outcome of a launch. */
const READ = 1024;
const PAGES = 512;
const TOGETHER = 48;

const image: Image = await buildProgram(import.meta.dirname, 'files.program.js', {
  grants: { files: [{ mount: '/data', access: 'read-write' }] },
});
const refusal = ioUringRefusal();

/** An enclave with `/data/file` open, each of whose pages is full of its own number. */
class Bench {
  readonly enclave: Enclave;
  readonly #descriptor: number;

  static async start(t: TestContext, engine: (typeof ENGINES)[number]): Promise<Bench> {
    const data = temporaryDirectory(t);
    const descriptor = fs.openSync(join(data, 'file'), 'w+');
    t.after(() => fs.closeSync(descriptor));
    const content = new Uint32Array((PAGES * PAGE) / 4);
    for (let page = 0; page < PAGES; page++) content.fill(page, (page * PAGE) / 4, ((page + 1) * PAGE) / 4);
    fs.writeSync(descriptor, content);
    fs.fsyncSync(descriptor);
    const enclave = await startEnclave(t, image, { engine, directories: { '/data': data } });
    const opening = { on: 'files', call: 'open', values: ['/data/file', 'r+'], as: 'file' };
    await enclave.launch('run', [opening], false);
    return new Bench(enclave, descriptor);
  }

  private constructor(enclave: Enclave, descriptor: number) {
    this.enclave = enclave;
    this.#descriptor = descriptor;
  }

  /** Makes the next reads wait for the disk, where there is one. */
  drop(): void {
    check(forgetCached(this.#descriptor), 'posix_fadvise');
  }

  async run(steps: readonly Step[], asynchronous = false): Promise<Outcome[]> {
    return (await this.enclave.launch('run', steps, asynchronous)) as Outcome[];
  }

  async runTogether(steps: readonly Step[]): Promise<Outcome[]> {
    return (await this.enclave.launch('runTogether', steps)) as Outcome[];
  }
}

/** Pages all over the file, so that reading one does not bring the next. */
function pageOf(index: number): number {
  return (index * 197 + 31) % PAGES;
}

function reads(options: object = {}): Step[] {
  return Array.from({ length: TOGETHER }, (_, index) => ({
    on: 'file',
    call: 'read',
    values: [READ, { position: pageOf(index) * PAGE, ...options }],
  }));
}

function assertPage(value: unknown, page: number): void {
  const bytes = value as Uint8Array;
  assert.equal(bytes.length, READ);
  const words = new Uint32Array(bytes.slice().buffer);
  assert.ok(
    words.every((word) => word === page),
    `page ${page}`,
  );
}

function assertRead(outcomes: readonly Outcome[]): void {
  assert.equal(outcomes.length, TOGETHER);
  outcomes.forEach(({ value, error }, index) => {
    assert.equal(error, undefined);
    assertPage(value, pageOf(index));
  });
}

for (const engine of ENGINES) {
  describe(`files past the page cache, engine ${engine}`, { skip: engine === 'uring' && refusal }, () => {
    test('every read brings its own page, one at a time and many at once', async (t) => {
      const bench = await Bench.start(t, engine);
      for (const asynchronous of [false, true]) {
        bench.drop();
        assertRead(await bench.run(reads(), asynchronous));
      }
      for (let round = 0; round < 5; round++) {
        bench.drop();
        assertRead(await bench.runTogether(reads()));
      }
    });

    test('every write goes to its own place, and is there for reads that follow', async (t) => {
      const bench = await Bench.start(t, engine);
      const writes = Array.from({ length: TOGETHER }, (_, index) => ({
        on: 'file',
        call: 'write',
        values: [new Uint8Array(READ).fill(index), { position: pageOf(index) * PAGE }],
      }));
      bench.drop();
      assert.ok((await bench.runTogether(writes)).every(({ value }) => value === READ));
      const outcomes = await bench.runTogether(reads());
      outcomes.forEach(({ value }, index) => {
        assert.deepEqual(value, new Uint8Array(READ).fill(index));
      });
    });

    test('reads at the end of the file are short, and behind it empty', async (t) => {
      const bench = await Bench.start(t, engine);
      const at = (position: number): Step => ({ on: 'file', call: 'read', values: [READ, { position }] });
      bench.drop();
      const [short, empty] = await bench.run([at(PAGES * PAGE - 10), at(PAGES * PAGE)]);
      assert.equal((short!.value as Uint8Array).length, 10);
      assert.equal((empty!.value as Uint8Array).length, 0);
    });

    test('a read that is late fails alone, and its page stays out of later reads', async (t) => {
      const bench = await Bench.start(t, engine);
      for (let round = 0; round < 5; round++) {
        bench.drop();
        const outcomes = await bench.runTogether(reads({ timeout: 0 }));
        outcomes.forEach(({ value, error }, index) => {
          if (error === undefined) assertPage(value, pageOf(index));
          else assert.equal(error['code'], 'ETIMEDOUT');
        });
        bench.drop();
        assertRead(await bench.runTogether(reads()));
      }
      await until(() => bench.enclave.stats().host.inFlight === 0);
    });

    test('reads go on behind a worker that ends in the middle of some', async (t) => {
      const threads: Worker[] = [];
      const onStart = (message: unknown): void => void threads.push((message as { thread: Worker }).thread);
      subscribe('sgxio:worker:start', onStart);
      t.after(() => unsubscribe('sgxio:worker:start', onStart));
      const bench = await Bench.start(t, engine);
      const rings = openRings();
      assert.equal(rings > 0, engine === 'uring');
      for (let death = 1; death <= 4; death++) {
        bench.drop();
        const running = bench.runTogether([
          ...reads(),
          { on: 'files', call: 'stat', values: ['/data/file'] },
        ]);
        void threads.at(-1)!.terminate();
        for (const [index, { value, error }] of (await running).entries()) {
          if (error !== undefined) assert.equal(error['code'], 'EIO');
          else if (index < TOGETHER) assertPage(value, pageOf(index));
        }
        // A worker that sleeps in the kernel ends when it is woken.
        await bench.run([{ on: 'files', call: 'stat', values: ['/data/file'] }]);
        await until(() => bench.enclave.stats().workerDeaths === death);
        bench.drop();
        assertRead(await bench.runTogether(reads()));
      }
      assert.equal(openRings(), rings);
      await bench.enclave.stop();
      assert.equal(openRings(), 0);
    });

    test('an enclave that is killed in the middle of reads leaves nothing', async (t) => {
      const bench = await Bench.start(t, engine);
      bench.drop();
      const running = bench.runTogether(reads()).then(
        () => 'read',
        (error: { code: string }) => error.code,
      );
      bench.enclave.kill();
      assert.match(await running, /^(read|SGXIO_ENCLAVE_STOPPED)$/);
      await bench.enclave.exited;
      assert.equal(openRings(), 0);
    });
  });
}
