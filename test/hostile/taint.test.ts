import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { CallKind, type CallKindName } from '../../src/boundary/kinds.ts';
import type { Request } from '../../src/boundary/ring.ts';
import { buildImage } from '../../src/image/build.ts';
import type { InProcessHost } from '../support/in-process-host.ts';
import { LyingHost } from '../support/lying-host.ts';
import { exercises } from './fixtures/every-kind.ts';
import { secretsOf } from './fixtures/secretive.ts';
import { HonestAnswers } from './honest-answers.ts';
import { freshHost } from './victims.ts';

/** What the enclave reads of the boundary, and what it leaves there. */
const POISON = 0xa5;
const POISONED_WORD = POISON * 0x0101_0101;
/** A fragment of a secret of so many bytes is no accident. */
const FRAGMENT_BYTES = 8;

/** Runs what a program does with a kind of call; everything that the call does not write is poisoned, or zero. */
async function exerciseWith(kind: CallKindName, poison: number): Promise<unknown> {
  const honest = new HonestAnswers(kind === 'cancel' ? ['receive'] : []);
  const host = freshHost();
  const script = (request: Request, side: InProcessHost): void => {
    const start = side.layout.arena + request.payload;
    side.bytes.fill(poison, Math.max(side.layout.arena, start - 4096), start + 70_000);
    honest.answer(request, tainting(side, request, poison === 0 ? 0 : POISONED_WORD));
  };
  host.script = script;
  return host.run(exercises[kind]).then(
    (value) => ({ value }),
    (error: Error) => ({ error: error.message }),
  );
}

/** The same host, which poisons the words of an answer that its kind does not have. */
function tainting(host: InProcessHost, request: Request, word: number): InProcessHost {
  const answer = (id: number, result: number, extra0 = word, extra1 = word): void => {
    host.answer(id, result, extra0, request.kind === CallKind.clock ? extra1 & 0xff : extra1);
  };
  return new Proxy(host, {
    get: (target, name) => {
      const value: unknown = name === 'answer' ? answer : Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

for (const kind of Object.keys(exercises) as CallKindName[]) {
  test(`${kind}: what the call did not write makes no difference`, async () => {
    assert.deepEqual(await exerciseWith(kind, POISON), await exerciseWith(kind, 0));
  });
}

/** Whether 8 bytes in a row of any secret lie anywhere in the boundary. */
function findsSecret(boundary: Uint8Array<SharedArrayBuffer>, secrets: readonly Uint8Array[]): boolean {
  const bytes = Buffer.from(boundary.buffer, boundary.byteOffset, boundary.length);
  return secrets.some((secret) => {
    for (let start = 0; start + FRAGMENT_BYTES <= secret.length; start += FRAGMENT_BYTES) {
      if (bytes.includes(Buffer.from(secret.subarray(start, start + FRAGMENT_BYTES)))) return true;
    }
    return false;
  });
}

test('no secret of a program is in the boundary after its work', { timeout: 120_000 }, async () => {
  const image = await buildImage(fileURLToPath(new URL('./fixtures/secretive.js', import.meta.url)), {
    name: 'secretive',
    grants: { connect: ['tcp:127.0.0.1:*'] },
  });
  const server = createServer((socket) => socket.pipe(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const secrets = secretsOf('seed').slice(0, 16);
  try {
    await using host = await LyingHost.start(image, { honest: true });
    assert.equal(await host.launch('learn', 'seed'), 64);
    const { port } = server.address() as AddressInfo;
    assert.equal(await host.launch('exchange', port), 64);
    const expected = createHash('sha256');
    for (const secret of secretsOf('seed')) expected.update(secret);
    assert.equal(await host.launch('digest'), expected.digest('hex'));
    assert.equal(findsSecret(host.bytes, secrets), false);
    await host.launch('leak');
    assert.equal(findsSecret(host.bytes, secrets), true, 'the scan finds a secret that is shown');
  } finally {
    server.close();
  }
});
