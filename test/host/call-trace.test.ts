import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { after, test } from 'node:test';
import { TraceBuffer } from '../../src/host/trace-buffer.ts';
import { buildImage, CallTrace, Enclave, writeImage } from '../../src/index.ts';

const folder = mkdtempSync(join(tmpdir(), 'trace-'));
after(() => rmSync(folder, { recursive: true }));

interface TraceEvent {
  readonly ph: string;
  readonly name: string;
  readonly id: string;
  readonly ts: number;
  readonly args?: { readonly result: number | string };
}

const program = () =>
  buildImage(join(import.meta.dirname, 'echo-program.js'), {
    name: 'traced',
    grants: { listen: ['tcp:127.0.0.1:*'] },
  });

function eventsIn(path: string): TraceEvent[] {
  return (JSON.parse(readFileSync(path, 'utf8')) as { traceEvents: TraceEvent[] }).traceEvents;
}

test('each call of a run has its beginning, its end and its outcome in the file', async () => {
  const path = join(folder, 'calls.json');
  const trace = await CallTrace.create(path);
  const enclave = await Enclave.create(await program(), { trace });
  await enclave.launch('pings', 30_000);
  assert.equal(await enclave.launch('acceptLate', 5), 'ETIMEDOUT');
  await enclave.stop();
  assert.deepEqual(await trace.close(), { calls: 30_003, dropped: 0 });
  const open = new Map<string, number>();
  const seen = new Map<string, number>();
  for (const { ph, name, id, ts, args } of eventsIn(path)) {
    if (ph === 'b') {
      open.set(id, ts);
      seen.set(name, (seen.get(name) ?? 0) + 1);
      continue;
    }
    assert.equal(ph, 'e');
    assert.ok(ts >= open.get(id)!, 'no call ends before it begins');
    open.delete(id);
    assert.ok(name === 'accept' ? args?.result === 'ETIMEDOUT' : Number(args?.result) >= 0);
  }
  assert.equal(open.size, 0);
  assert.deepEqual(Object.fromEntries(seen), { nothing: 30_000, listen: 1, accept: 1, close: 1 });
});

test('a worker that is faster than the writer goes on, and what is left out is counted', () => {
  const buffer = new TraceBuffer();
  const writer = new TraceBuffer(buffer.buffer);
  const count = 200_000;
  for (let id = 1; id <= count; id++) {
    writer.begin(id);
    writer.end(id, 1, 0);
  }
  const kept = buffer.take(count);
  assert.equal(kept.length + buffer.dropped, count);
  assert.ok(buffer.dropped > 0);
  assert.equal(kept[0]!.id, 1);
  writer.begin(7);
  writer.end(7, 1, -5);
  const [last] = buffer.take(count);
  assert.deepEqual([last?.id, last?.result], [7, -5]);
});

test('sgxio trace writes one, of a run that a worker serves', async () => {
  const image = join(folder, 'traced.sgxio');
  await writeImage(image, await program());
  const path = join(folder, 'run.json');
  const main = join(import.meta.dirname, '../../src/cli/main.js');
  const sgxio = (...more: string[]) =>
    spawnSync(process.execPath, [main, 'trace', image, '-f', 'pings', '50', ...more], { encoding: 'utf8' });
  const { status, stderr } = sgxio('-o', path);
  assert.equal(status, 0, stderr);
  assert.match(stderr, /^sgxio: 50 calls in .*run\.json$/m);
  assert.equal(eventsIn(path).length, 100);
  for (const [mistake, message] of [
    [['-o', join(folder, 'none/run.json')], /^sgxio: .*none\/run\.json cannot be written: ENOENT.*\n$/],
    [['-o', path, '-s', 'direct'], /^sgxio: .*trace exitless or exit\n$/],
  ] as const) {
    const wrong = sgxio(...mistake);
    assert.deepEqual([wrong.status, wrong.stdout], [2, '']);
    assert.match(wrong.stderr, message);
  }
  assert.equal(eventsIn(path).length, 100);
});
