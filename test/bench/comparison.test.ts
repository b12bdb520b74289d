import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { describe, test } from 'node:test';
import { type Alternative, type ComparedRow, compare, verdictOf } from '../../src/bench/comparison.ts';
import { describeMachine, laneOf, machineLine } from '../../src/bench/machine.ts';
import {
  processorMicroseconds,
  processorNanoseconds,
  processorOfBoth,
} from '../../src/bench/processor-time.ts';
import { spreadOf } from '../../src/bench/statistics.ts';

function alternative(
  name: string,
  side: Alternative['side'],
  nanoseconds: number,
  log: string[],
): Alternative {
  let used = 0;
  return {
    name,
    version: '1',
    side,
    sample: (count) => {
      log.push(name);
      used += count * nanoseconds * 2;
      return new Float64Array(count).fill(nanoseconds);
    },
    processor: () => used,
  };
}

function row(name: string, side: ComparedRow['side'], figures: Partial<ComparedRow>): ComparedRow {
  const times = { p50_ns: 100, p50_least_ns: 100, p50_most_ns: 100, p99_ns: 100 };
  return { name, version: '1', side, ...times, spread: 0, processor_ns_per_operation: 0, ...figures };
}

describe('a comparison', () => {
  test('takes turns, counts no warm-up, and sorts by the median', async () => {
    const log: string[] = [];
    const told: string[] = [];
    const result = await compare(
      [alternative('slow', 'peer', 300, log), alternative('fast', 'own', 100, log)],
      { question: 'which?', count: 10, warmUps: 1, rounds: 2 },
      (what) => told.push(what),
    );
    assert.deepEqual(log, ['slow', 'fast', 'slow', 'fast', 'slow', 'fast']);
    assert.deepEqual(told, ['warm-up', 'round 1 of 2', 'round 2 of 2']);
    assert.deepEqual(
      result.rows.map(({ name, p50_ns, processor_ns_per_operation }) => [
        name,
        p50_ns,
        processor_ns_per_operation,
      ]),
      [
        ['fast', 100, 200],
        ['slow', 300, 600],
      ],
    );
    assert.equal(result.verdict, 'fast is 3.0 × faster than slow');
  });

  test('names no winner where rounds overlap or differ too much among themselves', () => {
    const peer = row('theirs', 'peer', { p50_ns: 200, p50_least_ns: 150, p50_most_ns: 250 });
    assert.match(verdictOf([row('ours', 'own', { p50_most_ns: 160 }), peer]), /^no winner.*overlap$/);
    assert.match(verdictOf([row('ours', 'own', { spread: 0.26 }), peer]), /^too noisy.*ours is 0\.26/);
    assert.match(verdictOf([row('ours', 'own', {}), { ...peer, spread: 0.3 }]), /^too noisy.*theirs/);
  });

  test('says so when a peer is faster, and leaves floors out', () => {
    const rows = [
      row('floor', 'floor', { p50_ns: 1 }),
      row('theirs', 'peer', { p50_ns: 50, p50_most_ns: 50, p50_least_ns: 50 }),
      row('ours', 'own', {}),
    ];
    assert.equal(verdictOf(rows), 'theirs is 2.0 × faster than ours');
    assert.equal(verdictOf(rows.slice(0, 2)), 'nothing to compare');
  });

  test('measures the spread by the quartiles, so that one bad round counts for little', () => {
    assert.equal(spreadOf([10, 10, 10, 10, 1000]), 0);
    assert.equal(spreadOf([8, 9, 10, 11, 12]), 0.2);
  });
});

test('processor time to the nanosecond agrees with what Node says of its own process', async () => {
  const before = processorNanoseconds(process.pid);
  let sum = 0;
  for (const until = process.cpuUsage().user + 50_000; process.cpuUsage().user < until; ) sum += 1;
  const used = processorNanoseconds(process.pid) - before;
  assert.ok(used >= 40e6, `${used} ns after ${sum} turns`);
  const { user, system } = process.cpuUsage();
  assert.ok(processorMicroseconds(process.pid) >= user + system, 'all threads count');
  assert.ok(processorOfBoth({ pid: process.pid }) > 2 * before, 'an enclave counts beside this process');
  assert.throws(() => processorNanoseconds(2 ** 22 + 1), { code: 'EINVAL' });
});

test('a lane is the processor, its cores and the major version of Node, as a file name', () => {
  const machine = { ...describeMachine(), processor: 'Some CPU (R) @ 2.6 GHz', cores: 2, node: '20.19.4' };
  assert.equal(laneOf(machine), '2x-some-cpu-r-2-6-ghz-node-20');
  assert.match(machineLine(machine), /^2 × Some CPU \(R\) @ 2\.6 GHz, \d+ GiB, Linux \S+, Node 20\.19\.4$/);
});

test('peers have exact versions and are no dependencies of sgxio', () => {
  const read = (path: string) =>
    JSON.parse(readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8')) as Record<
      'dependencies' | 'devDependencies' | 'packages',
      Record<string, string>
    >;
  const peers = read('benchmarks/package.json').dependencies;
  const own = read('package.json');
  for (const [name, version] of Object.entries(peers)) {
    assert.match(version, /^\d+\.\d+\.\d+$/);
    assert.equal({ ...own.dependencies, ...own.devDependencies }[name], undefined, name);
  }
  const locked = read('benchmarks/package-lock.json').packages;
  for (const name of Object.keys(peers)) assert.ok(`node_modules/${name}` in locked, name);
});
