import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { text } from 'node:stream/consumers';
import { describe, type TestContext, test } from 'node:test';
import { STRATEGIES, temporaryDirectory } from '../support/service-enclaves.ts';

const CHILD = join(import.meta.dirname, 'streams.child.js');

type Streams = ('pipe' | number)[];

function host(
  t: TestContext,
  values: readonly string[],
  streams: Streams = ['pipe', 'pipe', 'pipe'],
  env: NodeJS.ProcessEnv = {},
): ChildProcess {
  const child = fork(CHILD, values, {
    stdio: [...streams, 'ipc'],
    execArgv: [],
    env: { ...process.env, ...env },
  });
  t.after(() => child.kill('SIGKILL'));
  return child;
}

async function resultOf(child: ChildProcess): Promise<unknown> {
  const [[result]] = await Promise.all([once(child, 'message'), once(child, 'exit')]);
  return result;
}

for (const strategy of STRATEGIES) {
  describe(`streams, ${strategy}`, () => {
    for (const asynchronous of [false, true]) {
      test(`input and output go through pipes that fill up (${asynchronous ? 'async' : 'sync'})`, async (t) => {
        const child = host(t, [strategy, 'stdin,stdout', 'capitals', `${asynchronous}`]);
        const input = 'some text, '.repeat(30_000);
        child.stdin!.end(input);
        const [output, result] = await Promise.all([text(child.stdout!), resultOf(child)]);
        assert.equal(output, input.toUpperCase());
        assert.equal(result, input.length);
      });
    }

    test('input and output that are files', async (t) => {
      const directory = temporaryDirectory(t);
      const [from, to] = [join(directory, 'from'), join(directory, 'to')];
      writeFileSync(from, 'in a file');
      const [input, output] = [openSync(from, 'r'), openSync(to, 'w')];
      const child = host(t, [strategy, 'stdin,stdout', 'capitals', 'false'], [input, output, 'pipe']);
      closeSync(input);
      closeSync(output);
      assert.equal(await resultOf(child), 9);
      assert.equal(readFileSync(to, 'utf8'), 'IN A FILE');
    });

    test('the console prints to what was granted, and nowhere else', async (t) => {
      for (const [granted, output, errors] of [
        ['stdout,stderr', /^to the output: 1\n┌/, /^to the errors\n$/],
        ['stdout', /^to the output: 1\n┌/, /^$/],
        ['', /^$/, /^$/],
      ] as const) {
        const child = host(t, [strategy, granted, 'print']);
        const printed = Promise.all([text(child.stdout!), text(child.stderr!)]);
        await once(child, 'exit');
        const [toOutput, toErrors] = await printed;
        assert.match(toOutput, output);
        assert.match(toErrors, errors);
      }
    });

    test('a read that is late loses nothing of what comes after it', async (t) => {
      const child = host(t, [strategy, 'stdin,stdout', 'giveUp']);
      child.stdout!.once('data', () => child.stdin!.end('for the next'));
      assert.equal(await resultOf(child), 'ETIMEDOUT for the next');
    });

    test('what cannot be right is refused at the call', async (t) => {
      assert.deepEqual(await resultOf(host(t, [strategy, 'stdin,stdout', 'misuse'])), {
        'shared read': 'SGXIO_INVALID_ARGUMENT',
        'shared write': 'SGXIO_INVALID_ARGUMENT',
        'a text': 'SGXIO_INVALID_ARGUMENT',
        'no timeout': 'SGXIO_INVALID_ARGUMENT',
        late: 'ETIMEDOUT',
        closed: 'SGXIO_CLOSED',
        'closed, nothing written': 'SGXIO_CLOSED',
      });
    });

    test('an output that is full, or that nobody reads any more, is an error of the write', async (t) => {
      const full = openSync('/dev/full', 'w');
      const onFull = resultOf(host(t, [strategy, 'stdout', 'write'], ['pipe', full, 'pipe']));
      closeSync(full);
      assert.equal(await onFull, 'ENOSPC');
      const unread = host(t, [strategy, 'stdout', 'write']);
      unread.stdout!.destroy();
      assert.equal(await resultOf(unread), 'EPIPE');
    });

    test('a stream that was not granted is refused', async (t) => {
      assert.equal(await resultOf(host(t, [strategy, 'stdout', 'refused'])), 'SGXIO_NOT_GRANTED');
    });
  });
}

test('the streams, and a read that waits on one, outlive the worker that served them', async (t) => {
  const DEATHS = JSON.stringify({ nothing: 1 });
  const child = host(t, ['exitless', 'stdin,stdout', 'outlive', '3'], ['pipe', 'pipe', 'pipe'], { DEATHS });
  child.stdout!.on('data', (round: Buffer) => child.stdin!.write(`after death ${round}`));
  const told = await resultOf(child);
  assert.deepEqual(
    told,
    [0, 1, 2].flatMap((round) => ['EIO', `after death ${round}`]),
  );
});

test('what is printed to a file while workers die is there once where it was answered, and never twice', async (t) => {
  const to = join(temporaryDirectory(t), 'to');
  const output = openSync(to, 'w');
  const DEATHS = JSON.stringify({ nothing: 1 });
  const child = host(t, ['exitless', 'stdout', 'printDying', '4'], ['pipe', output, 'pipe'], { DEATHS });
  closeSync(output);
  const told = (await resultOf(child)) as string[];
  const printed = readFileSync(to, 'utf8').split('\n');
  for (const [round, outcome] of told.entries()) {
    const count = printed.filter((line) => line === `line ${round}`).length;
    assert.ok(
      outcome === 'printed' ? count === 1 : outcome === 'EIO' && count <= 1,
      `${round}: ${outcome}, ${count}`,
    );
  }
});
