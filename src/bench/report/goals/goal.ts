import type { Row } from '../../suite.ts';
import { type ReportData, rowsOf } from '../data.ts';
import { formatRatio } from '../units.ts';

/** What a run says of a goal. */
export interface Finding {
  readonly measured: string;
  readonly met: boolean;
  /** What it was decided by; their `spread` says whether that can be trusted. */
  readonly rows: readonly Row[];
}

export interface Goal {
  /** What is measured. */
  readonly figure: string;
  /** What it is set against: measured in the same run, or published. */
  readonly anchor: string;
  readonly goal: string;
  /** Whose rows decide. */
  readonly suite: string;
  /** Undefined where the run holds no figure for it. */
  judge(data: ReportData): Finding | undefined;
  /** Why it is not met, by figures of the same run; asked only where it is not. Undefined where the run lacks them. */
  explain?(data: ReportData): string | undefined;
}

export function numberOf(row: Row | undefined, field: string): number | undefined {
  const value = row?.[field];
  return typeof value === 'number' ? value : undefined;
}

/** The first row with these values. */
export function rowWith(data: ReportData, suite: string, values: Row): Row | undefined {
  return rowsOf(data, suite).find((row) =>
    Object.entries(values).every(([key, value]) => row[key] === value),
  );
}

/** The time of a call that does nothing, or of another row of that suite, in nanoseconds; 0 when not measured. */
export function callNanoseconds(data: ReportData, name: string): number {
  return numberOf(rowWith(data, 'call', { name }), 'p50_ns') ?? 0;
}

export interface RatioGoal {
  readonly limit: number;
  /** Whether the ratio is to be at most the limit, or at least. */
  readonly is: 'most' | 'least';
  /** What `ratio` says, and where, in a few words. */
  readonly words: string;
}

export interface Ratio {
  readonly ratio: number;
  readonly where: string;
  readonly rows: readonly Row[];
}

/** The worst of several ratios decides. */
export function judgeWorst(ratios: readonly Ratio[], { limit, is, words }: RatioGoal): Finding | undefined {
  const sorted = [...ratios].sort((left, right) => left.ratio - right.ratio);
  const worst = is === 'most' ? sorted.at(-1) : sorted[0];
  if (worst === undefined) return undefined;
  const { ratio, where, rows } = worst;
  const place = ratios.length > 1 ? ` at worst, ${where}` : where === '' ? '' : `: ${where}`;
  return {
    measured: `${formatRatio(ratio)}${words}${place}`,
    met: is === 'most' ? ratio <= limit : ratio >= limit,
    rows,
  };
}

/** Divides a figure of one row by that of another; undefined where either is missing. */
export function divide(
  above: Row | undefined,
  below: Row | undefined,
  field: string,
  where: string,
): Ratio | undefined {
  const [high, low] = [numberOf(above, field), numberOf(below, field)];
  if (high === undefined || low === undefined || low <= 0) return undefined;
  return { ratio: high / low, where, rows: [above!, below!] };
}

export function isRatio(ratio: Ratio | undefined): ratio is Ratio {
  return ratio !== undefined;
}
