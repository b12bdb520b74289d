import assert from 'node:assert/strict';
import { execFile, execFileSync, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { describe, type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { type Enclave, type Image, InvalidArgumentError } from '../../src/index.ts';
import { LOCK_EX, LOCK_UN, lockFile } from '../../src/linux/files.ts';
import type { Outcome, Step } from '../support/calls.program.ts';
import {
  buildProgram,
  STRATEGIES,
  startEnclave,
  type TestedStrategy,
  temporaryDirectory,
} from '../support/service-enclaves.ts';

const image: Image = await buildProgram(import.meta.dirname, 'files.program.js', {
  grants: {
    files: [
      { mount: '/data', access: 'read-write' },
      { mount: '/other', access: 'read-write' },
      { mount: '/fixed', access: 'read' },
    ],
  },
});

/** A step that names nothing open is one on paths. */
function onFiles(step: Step): Step {
  return { on: 'files', ...step };
}

interface Started {
  readonly enclave: Enclave;
  /** The directories of the host for `/data`, `/other` and `/fixed`. */
  readonly data: string;
  readonly other: string;
  readonly fixed: string;
  run(steps: readonly Step[], asynchronous?: boolean): Promise<Outcome[]>;
}

async function start(t: TestContext, strategy: TestedStrategy): Promise<Started> {
  const [data, other, fixed] = [temporaryDirectory(t), temporaryDirectory(t), temporaryDirectory(t)];
  const enclave = await startEnclave(t, image, {
    strategy,
    directories: { '/data': data, '/other': other, '/fixed': fixed },
  });
  const run = async (steps: readonly Step[], asynchronous = false): Promise<Outcome[]> =>
    (await enclave.launch('run', steps.map(onFiles), asynchronous)) as Outcome[];
  return { enclave, data, other, fixed, run };
}

/** The same step, made by Node on another directory. */
function nodeStep(
  root: string,
  descriptors: Map<string, number>,
  { on, call, values = [], as }: Step,
): unknown {
  const at = (path: unknown): string => join(root, String(path).replace('/data', ''));
  const fd = on === undefined ? -1 : descriptors.get(on);
  if (fd === undefined) throw new TypeError('not open');
  const [first, second] = values;
  const position = (second as { position?: number } | undefined)?.position ?? null;
  switch (call) {
    case 'open':
      descriptors.set(as!, fs.openSync(at(first), second as string));
      return undefined;
    case 'read': {
      const buffer = new Uint8Array(first as number);
      return buffer.slice(0, fs.readSync(fd, buffer, 0, buffer.length, position));
    }
    case 'write':
      return fs.writeSync(fd, first as Uint8Array, 0, undefined, position);
    case 'writeVectors':
      return fs.writevSync(fd, first as Uint8Array[], position ?? undefined);
    case 'truncate':
      return fs.ftruncateSync(fd, first as number);
    case 'close':
      fs.closeSync(fd);
      descriptors.delete(on!);
      return undefined;
    case 'mkdir':
      return fs.mkdirSync(at(first));
    case 'rmdir':
      return fs.rmdirSync(at(first));
    case 'unlink':
      return fs.unlinkSync(at(first));
    case 'rename':
      return fs.renameSync(at(first), at(second));
    case 'link':
      return fs.linkSync(at(first), at(second));
    case 'symlink':
      return fs.symlinkSync(String(first), at(second));
    case 'readlink':
      return fs.readlinkSync(at(first));
    default:
      throw new TypeError(call);
  }
}

function nodeOutcome(root: string, descriptors: Map<string, number>, step: Step): Outcome {
  try {
    return { value: nodeStep(root, descriptors, step) };
  } catch (error) {
    return { error: { code: (error as { code?: unknown }).code } };
  }
}

/** Of two paths that are both wrong, which one is said first is the system's to choose. */
function comparable({ call }: Step, { value, error }: Outcome): unknown {
  if (error === undefined) return { value };
  return call === 'link' || call === 'rename' ? 'failed' : error['code'];
}

const NAMES = ['/data/a', '/data/b', '/data/a/inner', '/data/d', '/data/d/inner'];
const path = fc.constantFrom(...NAMES);
const bytes = fc.uint8Array({ maxLength: 300 });
const at = fc.option(fc.record({ position: fc.nat(500) }), { nil: undefined });

function on(call: string, ...values: fc.Arbitrary<unknown>[]): fc.Arbitrary<Step> {
  return fc.tuple(...values).map((chosen) => ({ on: 'file', call, values: chosen }));
}

function withPaths(call: string, ...values: fc.Arbitrary<unknown>[]): fc.Arbitrary<Step> {
  return fc.tuple(...values).map((chosen) => ({ call, values: chosen }));
}

/** Node makes no call for a read of nothing; the system does, and may refuse it. */
const reads: fc.Arbitrary<Step> = on('read', fc.integer({ min: 1, max: 400 }), at);
const writes: fc.Arbitrary<Step> = on('write', bytes, at);
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: reads },
  { weight: 6, arbitrary: writes },
  on('writeVectors', fc.array(bytes, { maxLength: 4 }), at),
  on('truncate', fc.nat(600)),
  fc
    .constantFrom('r', 'r+', 'w', 'w+', 'a', 'a+', 'wx')
    .chain((flags) => path.map((chosen) => ({ call: 'open', values: [chosen, flags], as: 'file' }))),
  withPaths('mkdir', path),
  withPaths('rmdir', path),
  withPaths('unlink', path),
  withPaths('rename', path, path),
  withPaths('link', path, path),
  withPaths('symlink', fc.constantFrom('a', 'nowhere', 'd'), path),
  withPaths('readlink', path),
);

function snapshot(directory: string): unknown {
  return fs
    .readdirSync(directory, { withFileTypes: true })
    .sort((left, right) => (left.name < right.name ? -1 : 1))
    .map((entry) => {
      const full = join(directory, entry.name);
      if (entry.isDirectory()) return [entry.name, snapshot(full)];
      return [entry.name, entry.isSymbolicLink() ? fs.readlinkSync(full) : fs.readFileSync(full, 'hex')];
    });
}

function emptyDirectory(directory: string): void {
  for (const name of fs.readdirSync(directory)) fs.rmSync(join(directory, name), { recursive: true });
}

for (const strategy of STRATEGIES) {
  describe(`files, ${strategy}`, () => {
    for (const asynchronous of [false, true]) {
      test(`any sequence of calls does what it does in Node (${asynchronous ? 'async' : 'sync'})`, async (t) => {
        const { data, run } = await start(t, strategy);
        const reference = temporaryDirectory(t);
        const opening: Step = { call: 'open', values: ['/data/first', 'w+'], as: 'file' };
        await fc.assert(
          fc.asyncProperty(fc.array(anyStep, { maxLength: 30 }), async (chosen) => {
            for (const directory of [data, reference]) emptyDirectory(directory);
            const steps = [opening, ...chosen];
            const descriptors = new Map<string, number>();
            const expected = steps.map((step) => nodeOutcome(reference, descriptors, step));
            const outcomes = await run(steps, asynchronous);
            assert.deepEqual(
              outcomes.map((outcome, index) => comparable(steps[index]!, outcome)),
              expected.map((outcome, index) => comparable(steps[index]!, outcome)),
            );
            assert.deepEqual(snapshot(data), snapshot(reference));
            for (const descriptor of descriptors.values()) fs.closeSync(descriptor);
          }),
          { numRuns: 60 },
        );
      });
    }

    test('a status says what Node says of the same file', async (t) => {
      const { data, run } = await start(t, strategy);
      fs.writeFileSync(join(data, 'file'), 'content');
      fs.utimesSync(join(data, 'file'), 1_000_000_000.25, -1.5);
      fs.symlinkSync('file', join(data, 'link'));
      const names = ['size', 'mode', 'nlink', 'uid', 'gid', 'ino', 'blksize', 'blocks', 'mtimeMs', 'atimeMs'];
      for (const asynchronous of [false, true]) {
        const [ofFile, ofLink, ofLinkItself] = await run(
          [
            { call: 'stat', values: ['/data/file'] },
            { call: 'stat', values: ['/data/link'] },
            { call: 'lstat', values: ['/data/link'] },
          ],
          asynchronous,
        );
        const pick = (value: unknown): unknown =>
          names.map((name) => [name, (value as Record<string, unknown>)[name]]);
        assert.deepEqual(pick(ofFile?.value), pick(fs.statSync(join(data, 'file'))));
        assert.deepEqual(pick(ofLink?.value), pick(fs.statSync(join(data, 'file'))));
        assert.deepEqual(pick(ofLinkItself?.value), pick(fs.lstatSync(join(data, 'link'))));
      }
    });

    test('every error has the code, the number, the call and the path', async (t) => {
      const { data, run } = await start(t, strategy);
      fs.writeFileSync(join(data, 'file'), '');
      fs.symlinkSync('/etc', join(data, 'out'));
      fs.symlinkSync('loop', join(data, 'loop'));
      const cases: readonly [call: string, values: unknown[], code: string, syscall: string][] = [
        ['open', ['/data/none'], 'ENOENT', 'open'],
        ['open', ['/data/file/inner'], 'ENOTDIR', 'open'],
        ['open', ['/data/out/passwd'], 'EXDEV', 'open'],
        ['open', ['/data/loop'], 'ELOOP', 'open'],
        ['open', ['/data', 'w'], 'EISDIR', 'open'],
        ['open', [`/data/${'x'.repeat(300)}`], 'ENAMETOOLONG', 'open'],
        ['stat', ['/data/out/passwd'], 'EXDEV', 'stat'],
        ['mkdir', ['/data/file'], 'EEXIST', 'mkdir'],
        ['rename', ['/data/file', '/other/file'], 'EXDEV', 'rename'],
        ['link', ['/data/file', '/other/file'], 'EXDEV', 'link'],
        ['openDirectory', ['/data/file'], 'ENOTDIR', 'open'],
        ['readlink', ['/data/file'], 'EINVAL', 'readlink'],
      ];
      for (const asynchronous of [false, true]) {
        const outcomes = await run(
          cases.map(([call, values]) => ({ call, values })),
          asynchronous,
        );
        assert.deepEqual(
          outcomes.map(({ error }) => error),
          cases.map(([, values, code, syscall]) => ({
            name: 'SystemError',
            code,
            errno: -constants.errno[code as keyof typeof constants.errno],
            syscall,
            path: values[0],
          })),
        );
      }
      assert.equal(fs.existsSync('/etc/passwd'), true);
    });

    test('what cannot be right is refused at the call', async (t) => {
      const { enclave, data } = await start(t, strategy);
      fs.writeFileSync(join(data, 'file'), '');
      const codes = (await enclave.launch('misuse', '/data/file')) as Record<string, string>;
      const { 'closed twice, then used': closed, ...others } = codes;
      assert.equal(closed, 'SGXIO_CLOSED');
      for (const [name, code] of Object.entries(others)) {
        const granted = name.startsWith('outside') || name.startsWith('write below');
        assert.equal(code, granted ? 'SGXIO_NOT_GRANTED' : 'SGXIO_INVALID_ARGUMENT', name);
      }
    });

    test('modes, times and durability', async (t) => {
      const { data, run } = await start(t, strategy);
      for (const asynchronous of [false, true]) {
        const outcomes = await run(
          [
            { call: 'open', values: ['/data/file', 'w+', { mode: 0o600 }], as: 'file' },
            { on: 'file', call: 'write', values: [new Uint8Array(10)] },
            { on: 'file', call: 'syncData', values: [] },
            { on: 'file', call: 'sync', values: [] },
            { on: 'file', call: 'chmod', values: [0o640] },
            { on: 'file', call: 'setTimes', values: [{ accessed: 1500, modified: -2500 }] },
            { on: 'file', call: 'stat', values: [] },
            { call: 'chmod', values: ['/data/file', 0o604] },
            { call: 'setTimes', values: ['/data/file', { modified: 86_400_000.5 }] },
            { call: 'stat', values: ['/data/file'] },
            { on: 'file', call: 'close', values: [] },
          ],
          asynchronous,
        );
        assert.deepEqual(
          outcomes.filter(({ error }) => error !== undefined),
          [],
        );
        const [first, second] = [outcomes[6], outcomes[9]].map((o) => o?.value as Record<string, number>);
        assert.deepEqual([first!['mode'], first!['atimeMs'], first!['mtimeMs']], [0o100640, 1500, -2500]);
        const node = fs.statSync(join(data, 'file'));
        assert.deepEqual(
          [second!['mode'], second!['atimeMs'], second!['mtimeMs']],
          [node.mode, node.atimeMs, node.mtimeMs],
        );
        assert.deepEqual([node.mode, node.atimeMs, node.mtimeMs], [0o100604, 1500, 86_400_000.5]);
        fs.unlinkSync(join(data, 'file'));
      }
    });

    test('buffers larger than one call, and several at once', async (t) => {
      const { data, run } = await start(t, strategy);
      const content = Uint8Array.from({ length: 300_000 }, (_, index) => index * 7);
      for (const asynchronous of [false, true]) {
        const [, written, all, parts] = await run(
          [
            { call: 'open', values: ['/data/large', 'w+'], as: 'file' },
            { on: 'file', call: 'write', values: [content.subarray(0, 60_000)] },
            { on: 'file', call: 'read', values: [70_000, { position: 0 }] },
            { on: 'file', call: 'readVectors', values: [[10, 0, 20], { position: 5 }] },
          ],
          asynchronous,
        );
        assert.equal(written?.value, 60_000);
        assert.deepEqual(all?.value, content.slice(0, 60_000));
        assert.deepEqual(parts?.value, [
          30,
          content.slice(5, 15),
          content.slice(15, 15),
          content.slice(15, 35),
        ]);
      }
      fs.writeFileSync(join(data, 'large'), content);
      const [, many] = await run([
        { call: 'open', values: ['/data/large'], as: 'file' },
        { on: 'file', call: 'read', values: [50_000, { position: 200_000 }] },
      ]);
      assert.deepEqual(many?.value, content.slice(200_000, 250_000));
    });

    test('a directory is listed whole, whatever the names in it', async (t) => {
      const { data, run } = await start(t, strategy);
      const odd = ['__proto__', 'constructor', '...', ' ', 'ü', '\n', 'x'.repeat(255)];
      for (const name of odd) fs.writeFileSync(join(data, name), '');
      const [outcome] = await run([{ call: 'readdir', values: ['/data'] }]);
      const names = (outcome!.value as { name: string; type: string }[]).map(({ name }) => name);
      assert.deepEqual(names.sort(), [...odd].sort());
    });

    test('many calls at once, all of which may wait for a disk', async (t) => {
      const { enclave, data } = await start(t, strategy);
      const steps = Array.from(
        { length: 300 },
        (_, index): Step => ({
          call: 'mkdir',
          values: [`/data/directory-${index}`],
        }),
      );
      const outcomes = (await enclave.launch('runTogether', steps.map(onFiles))) as Outcome[];
      assert.deepEqual(
        outcomes.filter(({ error }) => error !== undefined),
        [],
      );
      assert.equal(fs.readdirSync(data).length, 300);
    });

    test('a lock is waited for until it is free or the time is over', async (t) => {
      const { enclave, data } = await start(t, strategy);
      const file = fs.openSync(join(data, 'file'), 'w');
      t.after(() => fs.closeSync(file));
      assert.equal(lockFile(file, LOCK_EX), 0);
      assert.equal(await enclave.launch('waitForLock', '/data/file', 20), 'ETIMEDOUT');
      const waiting = enclave.launch('waitForLock', '/data/file', 60_000);
      assert.equal(lockFile(file, LOCK_UN), 0);
      assert.equal(await waiting, 'locked');
      assert.equal(lockFile(file, LOCK_EX), 0);
    });

    test('an aborted call ends for the program at once, and nothing else is disturbed', async (t) => {
      const { enclave, data, run } = await start(t, strategy);
      fs.writeFileSync(join(data, 'file'), 'content');
      const code = await enclave.launch('abortRead', '/data/file');
      assert.ok(code === 'SGXIO_ABORTED' || (strategy === 'direct' && code === '7'), String(code));
      const [outcome] = await run([{ call: 'stat', values: ['/data/file'] }]);
      assert.deepEqual(outcome?.error, undefined);
    });
  });
}

test('100,000 entries are each given once', async (t) => {
  const [many, empty] = [temporaryDirectory(t), temporaryDirectory(t)];
  for (let index = 0; index < 100_000; index++) fs.symlinkSync('nothing', join(many, `entry-${index}`));
  for (const strategy of STRATEGIES) {
    const enclave = await startEnclave(t, image, {
      strategy,
      directories: { '/data': many, '/other': empty, '/fixed': empty },
    });
    for (const asynchronous of [false, true]) {
      assert.deepEqual(await enclave.launch('countEntries', '/data', asynchronous), [100_000, 100_000]);
    }
  }
});

for (const strategy of STRATEGIES) {
  test(`a full disk is an error of the write that finds it full, ${strategy}`, async (t) => {
    const [disk, empty] = [temporaryDirectory(t), temporaryDirectory(t)];
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'sgxio-test', disk]);
    if (mounted.status !== 0) return t.skip('mounting a small file system needs root');
    try {
      const enclave = await startEnclave(t, image, {
        strategy,
        directories: { '/data': disk, '/other': empty, '/fixed': empty },
      });
      assert.deepEqual(await enclave.launch('fillDisk', '/data/file'), [65_536, 'ENOSPC', 10_000]);
    } finally {
      execFileSync('umount', ['--lazy', disk]);
    }
  });

  test(`a host without descriptors says so, and goes on when it has some, ${strategy}`, async (t) => {
    const directory = temporaryDirectory(t);
    fs.writeFileSync(join(directory, 'file'), '');
    const child = join(import.meta.dirname, 'descriptors.child.js');
    const limited = ['-c', 'ulimit -n 120; exec "$0" "$@"', process.execPath, child, strategy, directory];
    const { stdout } = await promisify(execFile)('sh', limited);
    assert.deepEqual(JSON.parse(stdout), ['EMFILE', true]);
  });
}

test('the directories of an enclave are those of its mounts, and are there', async (t) => {
  const directory = temporaryDirectory(t);
  const all = { '/data': directory, '/other': directory, '/fixed': directory };
  const wrong: readonly Record<string, string>[] = [
    {},
    { '/data': directory },
    { ...all, '/more': directory },
    { ...all, '/fixed': join(directory, 'none') },
  ];
  for (const directories of wrong) {
    await assert.rejects(
      startEnclave(t, image, { directories }),
      (error) => error instanceof InvalidArgumentError && !error.message.includes('\n'),
    );
  }
});
