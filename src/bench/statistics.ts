import { InvalidArgumentError } from '../errors.ts';

/** What a set of samples looks like, in their own unit. */
export interface Summary {
  readonly count: number;
  readonly minimum: number;
  readonly mean: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly maximum: number;
}

/** Sorts a copy of the samples; their order does not matter. */
export function summarize(samples: Iterable<number>): Summary {
  const sorted = Float64Array.from(samples).sort();
  return {
    count: sorted.length,
    minimum: percentile(sorted, 0),
    mean: sorted.reduce((sum, sample) => sum + sample, 0) / sorted.length,
    p50: percentile(sorted, 50),
    p90: percentile(sorted, 90),
    p99: percentile(sorted, 99),
    maximum: percentile(sorted, 100),
  };
}

/** The middle sample, or the mean of the two in the middle. */
export function median(samples: Iterable<number>): number {
  const sorted = Float64Array.from(samples).sort();
  if (sorted.length === 0) throw new InvalidArgumentError('there is no median of no samples');
  const upper = Math.floor(sorted.length / 2);
  const lower = sorted.length % 2 === 1 ? upper : upper - 1;
  return (sorted[lower]! + sorted[upper]!) / 2;
}

/**
 * The smallest sample that at least `percent` of all samples do not exceed (nearest rank): always one that was
 * measured.
 */
export function percentile(sorted: Float64Array, percent: number): number {
  if (sorted.length === 0) throw new InvalidArgumentError('there is no percentile of no samples');
  const rank = Math.ceil((percent * sorted.length) / 100);
  return sorted[Math.min(Math.max(rank, 1), sorted.length) - 1]!;
}

/** Rounds that differ by more than this share of their median tell of the machine, not of what was measured. */
export const SPREAD_MAX = 0.25;

/** The distance between the quartiles, as a share of the median. */
export function spreadOf(samples: readonly number[]): number {
  const sorted = [...samples].sort((left, right) => left - right);
  const half = Math.ceil(sorted.length / 2);
  const range = median(sorted.slice(-half)) - median(sorted.slice(0, half));
  return range / median(sorted);
}

const CLOCK_READS = 2000;
const CLOCK_ROUNDS = 15;
const NANOSECONDS_PER_MILLISECOND = 1e6;

/**
 * What one reading of `performance.now` costs here, in nanoseconds: the median of rounds of readings without a
 * pause. A span between two readings contains one of them: take this off what is short.
 */
export function measureClockCost(): number {
  const rounds: number[] = [];
  for (let round = 0; round < CLOCK_ROUNDS; round += 1) {
    const start = performance.now();
    let last = start;
    for (let read = 0; read < CLOCK_READS; read += 1) last = performance.now();
    rounds.push(((last - start) / CLOCK_READS) * NANOSECONDS_PER_MILLISECOND);
  }
  return median(rounds);
}
