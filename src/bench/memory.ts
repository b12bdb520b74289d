import { storeRows } from './memory/faults.ts';
import { hitRows } from './memory/hits.ts';
import { subPageRows, traceRows } from './memory/reads.ts';
import type { Row, Scale } from './memory/support.ts';
import { workRows } from './memory/work.ts';
import type { OnProgress, SuiteResult } from './suite.ts';

const FULL: Scale = {
  rounds: 5,
  cacheMib: 64,
  storesMib: [200, 1024, 4096],
  workMib: 512,
  workCacheMib: 64,
  traceSteps: 400_000,
};
const QUICK: Scale = {
  rounds: 3,
  cacheMib: 16,
  storesMib: [64, 256],
  workMib: 32,
  workCacheMib: 4,
  traceSteps: 60_000,
};

/** For the report: the work, which no goal is set for, on a quarter of the data and of the private memory. */
const REPORT: Scale = { ...FULL, workMib: 128, workCacheMib: 16 };

const SCALES: Readonly<Record<'full' | 'report' | 'quick', Scale>> = {
  full: FULL,
  report: REPORT,
  quick: QUICK,
};

/** The parts of the suite, in order, by what they are about. */
const PARTS: readonly (readonly [string, (scale: Scale) => Iterable<Row>])[] = [
  ['accesses that do not fault', hitRows],
  ['faults', storeRows],
  ['sub-pages', subPageRows],
  ['hit ratios of the policies', traceRows],
  ['a sort and a join', workRows],
];

/** How many steps {@link memorySuite} tells of. */
export const MEMORY_STEPS: number = PARTS.length;

export interface MemoryResult extends SuiteResult {
  readonly suite: 'memory';
}

/**
 * Measures secure memory against what bounds it: plain typed arrays where nothing faults, and the bare cipher with a
 * copy where something does. What is compared is measured in turns, and medians are given.
 */
export async function memorySuite(
  { size }: { readonly size: keyof typeof SCALES },
  onProgress: OnProgress,
): Promise<MemoryResult> {
  const scale = SCALES[size];
  const rows: Row[] = [];
  for (const [name, measure] of PARTS) {
    onProgress(name);
    rows.push(...measure(scale));
    // Gives the caller's own tasks a turn.
    await new Promise((resolve) => setImmediate(resolve));
  }
  return { suite: 'memory', rows };
}
