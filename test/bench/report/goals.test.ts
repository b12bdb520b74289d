import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ReportData } from '../../../src/bench/report/data.ts';
import { parseReport } from '../../../src/bench/report/data.ts';
import { type GoalName, judgeGoals } from '../../../src/bench/report/goals.ts';
import { renderMarkdown } from '../../../src/bench/report/markdown.ts';
import { noticesOf } from '../../../src/bench/report/page.ts';
import { formatBytes, formatNanoseconds, formatRatio } from '../../../src/bench/report/units.ts';
import type { Row } from '../../../src/bench/suite.ts';

const machine = { processor: 'P', cores: 2, memory_gib: 4, kernel: '6.1', node: '20.19.0', load: 0.1 };

function data(suites: Readonly<Record<string, readonly Row[]>>): ReportData {
  const results = Object.entries(suites).map(([suite, rows]) => ({
    suite,
    seconds: 1,
    others_cores: 0,
    rows,
  }));
  return { size: 'full', day: '2026-01-01', machine, seconds: 1, suites: results, peers: [], skipped: [] };
}

function verdict(name: GoalName, suites: Readonly<Record<string, readonly Row[]>>): string {
  const goal = judgeGoals(data(suites)).find((each) => each.name === name)!;
  return `${goal.verdict}: ${goal.measured}`;
}

const calls = (exitless: number): readonly Row[] => [
  { name: 'ping-pong', p50_ns: 200 },
  { name: 'exitless', p50_ns: exitless },
  { name: 'exit', p50_ns: 7500 },
  { name: 'post-message', p50_ns: 50_000 },
];

describe('goals', () => {
  test('of the null call are met up to the very ratio', () => {
    assert.match(verdict('call-ping-pong', { call: calls(500) }), /^met: 2\.5 ×: 500 ns against 200 ns$/);
    assert.match(verdict('call-ping-pong', { call: calls(501) }), /^not met/);
    assert.match(verdict('call-post-message', { call: calls(500) }), /^met: 100 ×/);
    assert.match(verdict('call-post-message', { call: calls(501) }), /^not met/);
    assert.match(verdict('call-exit', { call: calls(500) }), /^met: 15 ×/);
    assert.match(verdict('call-exit', { call: calls(501) }), /^not met/);
  });

  test('of the parameter server look at their own number of items', () => {
    const rows = [
      { items: 1, strategy: 'exitless', slowdown: 1.2 },
      { items: 1, strategy: 'exit', slowdown: 9 },
      { items: 8, strategy: 'exitless', slowdown: 1.06 },
    ];
    assert.equal(verdict('parameter-server-1', { 'parameter-server': rows }), 'met: 1.2');
    assert.equal(verdict('parameter-server-8', { 'parameter-server': rows }), 'not met: 1.06');
    assert.equal(verdict('parameter-server-64', { 'parameter-server': rows }), 'not measured: ');
  });

  test('are judged by the worst row, not by the best', () => {
    const echo = [1, 16].flatMap((connections) => [
      { name: 'exitless', connections, requests_per_s: connections === 1 ? 90 : 300 },
      { name: 'node:net', connections, requests_per_s: 100 },
    ]);
    assert.equal(verdict('echo', { echo }), 'not met: 0.9 × its rate at worst, with 1 connections');
    assert.match(verdict('echo-direct', { echo }), /^not measured/);
    const memory = [
      { what: 'fault-clean', store_mib: 8, fault_ns: 1500, floor_ratio: 1.5 },
      { what: 'fault-clean', store_mib: 200, fault_ns: 1700, floor_ratio: 1.7 },
      { what: 'hit-read', bytes: 16, ratio: 1.02 },
      { what: 'hit-write', bytes: 256, ratio: 1.11 },
    ];
    assert.match(verdict('fault-clean', { memory }), /^not met: 1\.7 × at worst, 1\.7 µs .* 200 MiB$/);
    assert.match(verdict('fault-dirty', { memory }), /^not measured/);
    assert.match(verdict('pointer', { memory }), /^not met: 1\.11 × at worst, writing items of 256 bytes$/);
  });

  test('of idling and starting', () => {
    const idle = [{ name: 'exitless', idle_connections: 100, processor_percent: 1 }];
    assert.equal(verdict('idle', { idle }), 'met: 1 % with 100 open connections');
    assert.equal(
      verdict('start', { start: [{ name: 'exitless', more_than_node_ms: 60.1 }] }),
      'not met: Node + 60.1 ms',
    );
  });

  test('of files look at cached reads, alone and sixteen at once', () => {
    const read = (name: string, atOnce: number, us: number, workload = 'random') => ({
      ...{ name, workload, read_bytes: 4096, reads_at_once: atOnce, us_per_read: us },
    });
    const files = [
      read('node', 1, 2),
      read('exitless', 1, 3.2),
      read('node', 16, 7),
      read('exitless', 16, 7.1),
      read('exitless', 1, 90, 'random uncached'),
    ];
    assert.equal(verdict('read-1', { files }), 'met: 1.6 ×: 3.2 against 2 µs');
    assert.match(verdict('read-16', { files }), /^not met: 1\.01 ×/);
  });

  test('of many connections set each number against the smaller ones alone', () => {
    const scale = [24, 8, 12.1].map((us_per_request, index) => ({
      ...{ name: 'exitless', connections: 10 ** index, us_per_request },
    }));
    assert.match(verdict('scale', { scale }), /^not met: 1\.51 × at worst, 100 against 10 connections$/);
    assert.match(verdict('scale', { scale: scale.slice(0, 2) }), /^met: 0\.333 ×/);
  });

  test('of protected files look at large pieces, against the lower of the file and the cipher', () => {
    const row = (what: string, chunk_bytes: number, node: number, own: number) => ({
      ...{ what, chunk_bytes, node_fs_mib_per_second: node, protected_mib_per_second: own },
    });
    const rows = [
      row('write', 4096, 1000, 1),
      { ...row('write', 65_536, 1000, 600), cipher_mib_per_second: 2000 },
      row('cold read', 65_536, 9000, 1200),
      row('warm random read', 4096, 1000, 999),
      { what: 'transactions', sqlite_transactions_per_second: 1 },
    ];
    assert.match(verdict('files-cold', { 'protected-files': rows }), /^met: 0\.6 × at worst/);
    assert.match(verdict('files-warm', { 'protected-files': rows }), /^not met: 0\.999 ×/);
    assert.match(verdict('files-random-write', { 'protected-files': rows }), /^not measured/);
  });

  test('of launches look at their own rows, and at the fastest pool', () => {
    const launch = [
      { name: 'empty', p50_ns: 10_000 },
      { name: 'empty, spinning', p50_ns: 1001 },
      { name: 'graph of 20 empty steps', p50_ns: 30_000 },
      { name: 'empty, 1000 queued at once', p50_ns: 2000, launches_per_s: 500_000 },
    ];
    assert.equal(verdict('launch', { launch }), 'met: 10 µs');
    assert.equal(verdict('launch-spinning', { launch }), 'not met: 1 µs');
    assert.match(verdict('graph', { launch }), /^met: 3 ×/);
    assert.equal(verdict('launch-queued', { launch }), 'met: 500,000 a second');
    assert.match(verdict('launch-pools', { launch }), /^not measured/);
    const copy = [
      { name: 'memcpy in one process', bytes: 1_048_576, gigabytes_per_s: 10 },
      { name: 'pinned, in', bytes: 1_048_576, gigabytes_per_s: 7.9 },
    ];
    assert.match(verdict('copy', { copy }), /^not met: 0\.79 ×: pinned, in, 1 MiB: 7\.9 GB\/s$/);
  });

  test('that are not met are explained by figures of the same run', () => {
    const [, , exit] = judgeGoals(data({ call: calls(600) }));
    assert.equal(exit?.name, 'call-exit');
    assert.equal(exit?.verdict, 'not met');
    assert.match(exit.explanation, /takes 200 ns in the same run: 37\.5 × faster than exit/);
  });

  test('of reads one at a time have their floor from the hand-over of the bytes, where it was measured', () => {
    const read = (name: string, us_per_read: number) => ({
      ...{ name, workload: 'random', read_bytes: 4096, reads_at_once: 1, us_per_read },
    });
    const files = [read('node', 2), read('direct', 2.5), read('exitless', 5)];
    const explanation = (rows: readonly Row[]) =>
      judgeGoals(data({ files: rows })).find(({ name }) => name === 'read-1')?.explanation ?? '';
    assert.equal(explanation(files), 'Not explained yet.');
    const handedOver = [...files, read('hand-over of the bytes alone', 1)];
    assert.match(explanation(handedOver), /together 3\.5 µs, 1\.75 × the time.* No read without an exit can/);
    assert.doesNotMatch(
      explanation([...handedOver.slice(0, 3), read('hand-over of the bytes alone', 0.5)]),
      /No read/,
    );
  });

  test('of the parameter server with a large model are explained by the fault of the same run', () => {
    const row = (strategy: string, server_us_per_request: number, slowdown: number) => ({
      ...{ items: 1, strategy, server_us_per_request, slowdown },
    });
    const [large] = judgeGoals(
      data({
        'large-model': [row('direct', 2, 1), row('exitless', 12, 6)],
        memory: [{ what: 'fault-dirty', store_mib: 4096, fault_ns: 8000, floor_ns: 5000 }],
      }),
    ).filter(({ name }) => name === 'parameter-server-large');
    assert.match(large?.explanation ?? '', /2 µs in place and 10 µs more here.* takes 8 µs .* 5 µs of it/);
  });

  test('are not judged where rounds differ too much, or others took the machine', () => {
    const noisy = calls(500).map((row) => ({ ...row, spread: row['name'] === 'exitless' ? 0.26 : 0.1 }));
    assert.match(verdict('call-ping-pong', { call: noisy }), /^too noisy: 2\.5 ×/);
    const { suites, ...rest } = data({ call: calls(500) });
    const disturbed = { ...rest, suites: suites.map((suite) => ({ ...suite, others_cores: 0.3 })) };
    const goal = judgeGoals(disturbed).find(({ name }) => name === 'call-ping-pong');
    assert.deepEqual([goal?.verdict, goal?.explanation.includes('0.3 cores')], ['too noisy', true]);
    assert.match(noticesOf(disturbed).join(), /too noisy to be judged: call \(0\.3 cores\)/);
  });

  test('that no suite measured say so, in the tables too', () => {
    assert.deepEqual(new Set(judgeGoals(data({})).map((goal) => goal.verdict)), new Set(['not measured']));
    assert.match(renderMarkdown(data({})), /\| not measured \|/);
  });
});

test('a run that was too short, or on a busy machine, is not for quoting', () => {
  assert.deepEqual(noticesOf(data({})), []);
  assert.equal(noticesOf({ ...data({}), size: 'quick', machine: { ...machine, load: 2 } }).length, 2);
});

test('what is no document of results is refused with the place', () => {
  assert.throws(() => parseReport('no'), /JSON document/);
  assert.throws(() => parseReport('{}'), /no results of a report: \w+/);
  const broken = { ...data({}), machine: { ...machine, cores: 'two' } };
  assert.throws(() => parseReport(JSON.stringify(broken)), /machine\.cores/);
  assert.deepEqual(parseReport(JSON.stringify(data({ call: calls(1) }))), data({ call: calls(1) }));
});

test('figures are written in the unit that fits', () => {
  assert.deepEqual([0, 0.25, 20, 999, 1234, 56_700, 2e6, 3.5e9].map(formatNanoseconds), [
    '0 ns',
    '0.25 ns',
    '20 ns',
    '999 ns',
    '1.23 µs',
    '56.7 µs',
    '2 ms',
    '3.5 s',
  ]);
  assert.deepEqual([16, 4096, 2 ** 20].map(formatBytes), ['16 B', '4 KiB', '1 MiB']);
  assert.equal(formatRatio(97.44), '97.4 ×');
});
