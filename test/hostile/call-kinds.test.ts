import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { CallKindName } from '../../src/boundary/kinds.ts';
import { buildImage } from '../../src/image/build.ts';
import type { Script } from '../support/host-side.ts';
import { InProcessHost } from '../support/in-process-host.ts';
import { LyingHost } from '../support/lying-host.ts';
import { exercises } from './fixtures/every-kind.ts';
import { forgetHandles } from './forget-handles.ts';
import { HonestAnswers, nameOf } from './honest-answers.ts';
import { commonLies, type Lie, ownLies } from './lies.ts';

/** Every kind of call is told every lie: those that only it can be told, and those that all can. */
const kinds = Object.keys(ownLies) as CallKindName[];
const image = buildImage(fileURLToPath(new URL('./fixtures/every-kind.js', import.meta.url)), {
  name: 'every-kind',
  grants: {
    listen: ['tcp:127.0.0.1:*', 'udp:127.0.0.1:*'],
    connect: ['tcp:127.0.0.1:*', 'udp:127.0.0.1:*'],
    files: [{ mount: '/data', access: 'read-write' }],
    streams: ['stdin', 'stdout'],
    names: true,
  },
});

/** A call that is to be cancelled must wait. */
function honestBeside(kind: CallKindName): HonestAnswers {
  return new HonestAnswers(kind === 'cancel' ? ['receive'] : []);
}

function liar(kind: CallKindName, lie: Lie): Script {
  const honest = honestBeside(kind);
  let calls = 0;
  return (request, host) => {
    if (nameOf(request.kind) !== kind) return honest.answer(request, host);
    calls++;
    if (calls === (lie.at ?? 1) || (lie.always === true && calls > 1)) return lie.tell(request, host);
    honest.answer(request, host);
  };
}

const codeOf = (error: unknown): string => String((error as { code?: unknown }).code);

for (const kind of kinds) {
  test(`${kind}: an honest answer is taken`, async () => {
    forgetHandles();
    const host = new InProcessHost();
    host.script = honestBeside(kind).answer;
    const outcome = await host.run(exercises[kind]).then(() => 'unharmed', codeOf);
    assert.equal(outcome, kind === 'echo' ? 'ENOSYS' : 'unharmed');
  });

  for (const lie of [...ownLies[kind], ...commonLies(kind)]) {
    test(`${kind}: ${lie.name}`, async () => {
      forgetHandles();
      const host = new InProcessHost();
      host.script = liar(kind, lie);
      const outcome = await host.run(exercises[kind]).then(() => 'unharmed', codeOf);
      assert.equal(outcome, lie.outcome);
    });
  }

  test(`${kind}: an enclave stops at a lie`, { timeout: 120_000 }, async () => {
    const lie = [...ownLies[kind], ...commonLies(kind)].find(
      ({ outcome }) => outcome === 'SGXIO_HOST_VIOLATION',
    ) as Lie;
    await using host = await LyingHost.start(await image);
    host.serve(liar(kind, lie));
    await assert.rejects(host.launch('exercise', kind));
    const { code, exitCode, signal, message } = await host.ended;
    const expected = { code: 'SGXIO_HOST_VIOLATION', exitCode: 1, signal: null };
    assert.deepEqual({ code, exitCode, signal }, expected, `${message} (${code}, ${exitCode}, ${signal})`);
  });
}

test('receive: what the host writes beyond the payload is not taken', async () => {
  forgetHandles();
  const host = new InProcessHost();
  const [, lie] = ownLies.receive;
  host.script = liar('receive', lie as Lie);
  const [length, ...bytes] = (await host.run(exercises.receive)) as number[];
  assert.equal(length, 64);
  assert.deepEqual(new Set(bytes.slice(64, 128)), new Set([0xee]));
  assert.deepEqual(new Set([...bytes.slice(0, 64), ...bytes.slice(128)]), new Set([0]));
});

after(() => forgetHandles());
