import { describeMachine, type MachineDescription } from './machine.ts';
import { median, SPREAD_MAX, spreadOf, summarize } from './statistics.ts';
import { type OnProgress, rounded } from './suite.ts';

export type Side = 'own' | 'peer' | 'floor';

/** One way to do the same thing. */
export interface Alternative {
  readonly name: string;
  /** The version of who does it, for the record. */
  readonly version: string;
  /** Whose it is: ours, another's, or a floor that no way to do it can beat. */
  readonly side: Side;
  /** Does it `count` times and says how long each took, in nanoseconds. */
  sample(count: number): Promise<Float64Array> | Float64Array;
  /** Processor time used so far by all that take part, in nanoseconds. */
  processor(): Promise<number> | number;
}

export interface ComparisonOptions {
  readonly question: string;
  /** Times that each is done in a round. */
  readonly count: number;
  readonly warmUps: number;
  readonly rounds: number;
}

/** The figures of one alternative over all rounds. */
export type ComparedRow = Readonly<{
  name: string;
  version: string;
  side: Side;
  p50_ns: number;
  p50_least_ns: number;
  p50_most_ns: number;
  p99_ns: number;
  /** The distance between the quartiles of the rounds' medians, as a share of their median. */
  spread: number;
  processor_ns_per_operation: number;
}>;

export interface Comparison {
  readonly question: string;
  readonly machine: MachineDescription;
  readonly rounds: number;
  readonly count: number;
  /** From the fastest to the slowest. */
  readonly rows: readonly ComparedRow[];
  /** Who was faster, ours or theirs, or why nobody can say. */
  readonly verdict: string;
}

interface Samples {
  readonly p50: number[];
  readonly p99: number[];
  processor: number;
}

/** Measures all in turn, round after round, so that what the machine does meanwhile meets them all alike. */
export async function compare(
  alternatives: readonly Alternative[],
  { question, count, warmUps, rounds }: ComparisonOptions,
  onProgress: OnProgress,
): Promise<Comparison> {
  const samples = new Map<Alternative, Samples>();
  for (const alternative of alternatives) samples.set(alternative, { p50: [], p99: [], processor: 0 });
  for (let round = -warmUps; round < rounds; round++) {
    onProgress(round < 0 ? 'warm-up' : `round ${round + 1} of ${rounds}`);
    for (const [alternative, taken] of samples) {
      const before = await alternative.processor();
      const { p50, p99 } = summarize(await alternative.sample(count));
      const used = (await alternative.processor()) - before;
      if (round < 0) continue;
      taken.p50.push(p50);
      taken.p99.push(p99);
      taken.processor += used;
    }
  }
  const rows = [...samples]
    .map(([alternative, taken]) => rowOf(alternative, taken, count * rounds))
    .sort((left, right) => left.p50_ns - right.p50_ns);
  return { question, machine: describeMachine(), rounds, count, rows, verdict: verdictOf(rows) };
}

function rowOf(
  { name, version, side }: Alternative,
  { p50, p99, processor }: Samples,
  total: number,
): ComparedRow {
  return {
    name,
    version,
    side,
    p50_ns: rounded(median(p50)),
    p50_least_ns: rounded(Math.min(...p50)),
    p50_most_ns: rounded(Math.max(...p50)),
    p99_ns: rounded(median(p99)),
    spread: rounded(spreadOf(p50), 3),
    processor_ns_per_operation: rounded(processor / total),
  };
}

/**
 * Sets the fastest of ours against the fastest of theirs. A winner is named only when the rounds of each agree
 * among themselves and those of the two lie apart. The rows come sorted, from the fastest to the slowest.
 */
export function verdictOf(rows: readonly ComparedRow[]): string {
  const own = rows.find(({ side }) => side === 'own');
  const peer = rows.find(({ side }) => side === 'peer');
  if (own === undefined || peer === undefined) return 'nothing to compare';
  const noisy = [own, peer].find(({ spread }) => spread > SPREAD_MAX);
  if (noisy !== undefined) {
    return `too noisy to name a winner: the spread of ${noisy.name} is ${noisy.spread}, the limit ${SPREAD_MAX}`;
  }
  const [first, second] = own.p50_ns <= peer.p50_ns ? [own, peer] : [peer, own];
  if (first.p50_most_ns >= second.p50_least_ns) {
    return `no winner: the rounds of ${first.name} and ${second.name} overlap`;
  }
  return `${first.name} is ${(second.p50_ns / first.p50_ns).toPrecision(2)} × faster than ${second.name}`;
}
