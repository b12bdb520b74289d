import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  baselineOf,
  compareFigures,
  type WatchedFigure,
  watchedFigures,
} from '../../src/bench/regression.ts';

const PARTS = ['encode', 'publish', 'wait', 'serve', 'check', 'copy'];
const profile = { suite: 'profile', rows: PARTS.map((part, index) => ({ part, ns: 10 + index })) };

function figure(name: string, nanoseconds: number, crosses: boolean): WatchedFigure {
  return { name, nanoseconds, crosses };
}

describe('watched figures', () => {
  test('are sums of rows, leave waiting out, and need all of their rows', () => {
    const [work, copy, ...others] = watchedFigures([profile]);
    assert.deepEqual(work, figure('work of both sides for a call', 10 + 11 + 13 + 14, false));
    assert.equal(copy?.nanoseconds, 15);
    assert.deepEqual(others, []);
    assert.deepEqual(watchedFigures([{ ...profile, rows: profile.rows.slice(0, 2) }]), []);
  });

  test('come in nanoseconds, whatever their suite has', () => {
    const start = { suite: 'start', rows: [{ name: 'exitless', p50_ms: 80.5 }] };
    assert.deepEqual(watchedFigures([start]), [figure('start', 80_500_000, true)]);
  });
});

describe('against a baseline', () => {
  const baseline = baselineOf([figure('one', 100, false), figure('two', 100, true)], 'lane', '2026-01-01');
  const changes = (one: number, two: number, strict: boolean) =>
    compareFigures([figure('one', one, false), figure('two', two, true)], baseline, { strict }).map(
      ({ change, fails }) => [change, fails],
    );

  test('strictly, what is slower than the tolerance fails', () => {
    assert.deepEqual(changes(124, 126, true), [
      ['same', false],
      ['slower', true],
    ]);
    assert.deepEqual(changes(79, 501, true), [
      ['faster', false],
      ['far slower', true],
    ]);
  });

  test('in a smoke run only what is far slower on one thread fails', () => {
    assert.deepEqual(changes(499, 5000, false), [
      ['slower', false],
      ['far slower', false],
    ]);
    assert.deepEqual(changes(501, 100, false), [
      ['far slower', true],
      ['same', false],
    ]);
  });

  test('a figure or a lane without one is new and fails nothing', () => {
    const [three] = compareFigures([figure('three', 1e9, false)], baseline, { strict: true });
    assert.deepEqual([three?.change, three?.fails], ['new', false]);
    const [one] = compareFigures([figure('one', 1e9, false)], undefined, { strict: true });
    assert.deepEqual([one?.change, one?.fails], ['new', false]);
  });
});
