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
  const results = Object.entries(suites).map(([suite, rows]) => ({ suite, seconds: 1, rows }));
  return { size: 'full', day: '2026-01-01', machine, suites: results, peers: [] };
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
    const memory = [
      { what: 'fault-clean', store_mib: 8, fault_ns: 1500, floor_ratio: 1.5 },
      { what: 'fault-clean', store_mib: 200, fault_ns: 1700, floor_ratio: 1.7 },
      { what: 'hit-read', bytes: 16, ratio: 1.02 },
      { what: 'hit-write', bytes: 256, ratio: 1.11 },
    ];
    assert.match(verdict('fault-clean', { memory }), /^not met: 1\.7 × at worst: 1\.7 µs .* 200 MiB$/);
    assert.match(verdict('fault-dirty', { memory }), /^not measured/);
    assert.match(verdict('pointer', { memory }), /^not met: 1\.11 × at worst: writing items of 256 bytes$/);
  });

  test('of idling and starting', () => {
    const idle = [{ name: 'exitless', idle_connections: 100, processor_percent: 1 }];
    assert.equal(verdict('idle', { idle }), 'met: 1 % with 100 open connections');
    assert.equal(
      verdict('start', { start: [{ name: 'exitless', more_than_node_ms: 60.1 }] }),
      'not met: Node + 60.1 ms',
    );
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
