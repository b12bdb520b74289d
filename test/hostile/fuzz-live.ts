import assert from 'node:assert/strict';
import type { CallKindName } from '../../src/boundary/kinds.ts';
import { callRules } from '../../src/boundary/kinds.ts';
import type { Request } from '../../src/boundary/ring.ts';
import { LyingHost } from '../support/lying-host.ts';
import { HonestAnswers, nameOf } from './honest-answers.ts';
import { commonLies, ownLies } from './lies.ts';
import { codeOf, victim } from './victims.ts';

/** How an enclave may end under a lying host. */
const ENDINGS = ['', 'SGXIO_HOST_VIOLATION'];
/** How a launch may end. */
const OUTCOMES = ['SGXIO_ENCLAVE_STOPPED', 'SGXIO_LAUNCH_FAILED', 'SGXIO_LAUNCH_REJECTED'];
const LAUNCHES: readonly (readonly [string, number])[] = [
  ['pings', 20],
  ['pingsAtOnce', 20],
  ['receives', 10],
  ['times', 10],
  ['sends', 10],
];

/**
 * Starts an enclave and launches into it while the host answers as the numbers say: mostly honestly, else with a
 * lie, with words of the boundary changed, late, or out of order. Says how many numbers were used.
 */
export async function fuzzLive(script: readonly number[]): Promise<number> {
  await using host = await LyingHost.start(await victim());
  const honest = new HonestAnswers();
  const late: Request[] = [];
  let used = 0;
  host.serve((request) => {
    const input = script[used++ % script.length] as number;
    const kind = nameOf(request.kind);
    if (late.length > 0 && (input & 3) !== 0) honest.answer(late.shift() as Request, host);
    if ((input & 31) === 31) return lie(input >>> 5, kind, request, host);
    if ((input & 31) === 30) spoil(input >>> 5, host);
    if ((input & 31) === 29 && kind === 'nothing') late.push(request);
    else honest.answer(request, host);
    // Whoever waits for the last late answer submits nothing more.
    if (late.length > 0)
      setImmediate(() => {
        for (const waiting of late.splice(0)) honest.answer(waiting, host);
      });
  });
  while (used < script.length) {
    const [name, rounds] = LAUNCHES[used % LAUNCHES.length] as readonly [string, number];
    const outcome = await host.launch(name, rounds).catch(codeOf);
    if (typeof outcome === 'string') assert.ok(OUTCOMES.includes(outcome), outcome);
    else if (typeof outcome === 'number') assert.equal(outcome, rounds);
    else assertHarmless(outcome as Record<string, unknown>);
    if (outcome === 'SGXIO_ENCLAVE_STOPPED') break;
  }
  host.kill();
  const { code, message } = await host.ended;
  assert.ok(ENDINGS.includes(code), `${code}: ${message}`);
  return used;
}

function lie(input: number, kind: CallKindName, request: Request, host: LyingHost): void {
  const lies = [...ownLies[kind], ...commonLies(kind)];
  const chosen = lies[input % lies.length];
  if (chosen?.always !== true) chosen?.tell(request, host);
  else host.answer(request.id, callRules[kind].result === 'length' ? request.length : 0);
}

function spoil(input: number, { words, layout }: LyingHost): void {
  const places = [
    layout.enclaveParked,
    layout.hostParked,
    layout.submissionsTaken,
    layout.bell,
    layout.arena,
  ];
  Atomics.store(words, (places[input % places.length] as number) >> 2, input);
}

function assertHarmless({ spilled, longest, backwards, impossible }: Record<string, unknown>): void {
  assert.ok(spilled !== true && backwards !== true && impossible !== true && !(Number(longest) > 64));
}
