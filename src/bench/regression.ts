import type { SuiteResult } from './suite.ts';

/** One figure that is watched: less is better. */
export interface WatchedFigure {
  readonly name: string;
  readonly nanoseconds: number;
  /** Whether two threads take part: then whoever else wants the cores counts as much as the code. */
  readonly crosses: boolean;
}

/** What a lane measured when it was last written down. */
export interface Baseline {
  readonly lane: string;
  readonly day: string;
  readonly figures: Readonly<Record<string, number>>;
}

export type Change = 'same' | 'faster' | 'slower' | 'far slower' | 'new';

export type ComparedFigure = Readonly<{
  name: string;
  baseline_ns: number;
  now_ns: number;
  ratio: number;
  change: Change;
  fails: boolean;
}>;

/** Medians of runs of one machine differ by this much without a reason in the code. */
export const TOLERANCE_RATIO = 1.25;
/** No noise on one thread explains this much. */
export const FAR_RATIO = 5;

const MILLISECOND = 1e6;

interface Watched {
  readonly name: string;
  readonly crosses: boolean;
  readonly suite: string;
  /** Which rows, by the value of one field. */
  readonly key: string;
  readonly values: readonly string[];
  readonly field: string;
  readonly scale: number;
}

/** A figure is the sum of its rows. */
const WATCHED: readonly Watched[] = [
  work('work of both sides for a call', ['encode', 'publish', 'serve', 'check']),
  work('copy of 64 bytes out of the arena', ['copy']),
  crossing('call, exitless', 'call', 'exitless'),
  crossing('call, exit', 'call', 'exit'),
  crossing('launch, spinning', 'launch', 'two numbers, spinning'),
  crossing('launch, queued', 'launch', 'two numbers, 1000 queued at once'),
  { ...crossing('start', 'start', 'exitless'), field: 'p50_ms', scale: MILLISECOND },
];

function work(name: string, values: readonly string[]): Watched {
  return { name, crosses: false, suite: 'profile', key: 'part', values, field: 'ns', scale: 1 };
}

function crossing(name: string, suite: string, value: string): Watched {
  return { name, crosses: true, suite, key: 'name', values: [value], field: 'p50_ns', scale: 1 };
}

/** The watched figures that these results hold. */
export function watchedFigures(results: readonly SuiteResult[]): WatchedFigure[] {
  return WATCHED.flatMap(({ name, crosses, suite, key, values, field, scale }) => {
    const rows = results.find((result) => result.suite === suite)?.rows ?? [];
    const chosen = rows.filter((row) => values.includes(String(row[key])));
    if (chosen.length !== values.length) return [];
    const sum = chosen.reduce((total, row) => total + Number(row[field]), 0);
    return [{ name, nanoseconds: sum * scale, crosses }];
  });
}

/**
 * Sets figures against a baseline of the same lane. Strictly, what is slower than the tolerance fails. Else only
 * what is far slower and needs no second core fails, so that a busy machine fails nothing.
 */
export function compareFigures(
  figures: readonly WatchedFigure[],
  baseline: Baseline | undefined,
  { strict }: { readonly strict: boolean },
): ComparedFigure[] {
  return figures.map(({ name, nanoseconds, crosses }) => {
    const before = baseline?.figures[name];
    const now_ns = Math.round(nanoseconds);
    if (before === undefined) return { name, baseline_ns: 0, now_ns, ratio: 0, change: 'new', fails: false };
    const ratio = nanoseconds / before;
    const change = changeOf(ratio);
    const fails = strict
      ? change === 'slower' || change === 'far slower'
      : change === 'far slower' && !crosses;
    return { name, baseline_ns: before, now_ns, ratio: Math.round(ratio * 100) / 100, change, fails };
  });
}

function changeOf(ratio: number): Change {
  if (ratio > FAR_RATIO) return 'far slower';
  if (ratio > TOLERANCE_RATIO) return 'slower';
  return ratio < 1 / TOLERANCE_RATIO ? 'faster' : 'same';
}

/** What is written down of a run. */
export function baselineOf(figures: readonly WatchedFigure[], lane: string, day: string): Baseline {
  const entries = figures.map(({ name, nanoseconds }) => [name, Math.round(nanoseconds)] as const);
  return { lane, day, figures: Object.fromEntries(entries) };
}
