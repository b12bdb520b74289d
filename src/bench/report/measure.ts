import { MachineError } from '../../errors.ts';
import { describeMachine } from '../machine.ts';
import { OtherUse } from '../other-use.ts';
import { type OnProgress, type Row, rounded } from '../suite.ts';
import type { MeasuredSuite, ReportData } from './data.ts';
import { comparePeers, hasPeers, NO_PEERS, PEER_STEPS } from './peers.ts';
import { type ReportSuite, reportSuites, type Size } from './suites.ts';

export interface MeasureOptions {
  readonly size: Size;
  /** The folder of the package, where `benchmarks/` lies. */
  readonly root: string;
  readonly suites?: readonly ReportSuite[];
  onProgress: OnProgress;
}

/** Runs every suite and, where they are installed, the comparisons with the peers. */
export async function measureAll({
  size,
  root,
  suites = reportSuites,
  onProgress,
}: MeasureOptions): Promise<ReportData> {
  // Told before the run: afterwards the load is the run's own.
  const machine = describeMachine();
  const day = new Date().toISOString().slice(0, 10);
  const began = performance.now();
  const results: MeasuredSuite[] = [];
  const skipped: string[] = [];
  for (const suite of suites) {
    try {
      const result = await measureSuite(suite, size, onProgress);
      results.push(result);
      skipped.push(...leftOut(result.rows));
    } catch (error) {
      if (!(error instanceof MachineError)) throw error;
      skipped.push(`${suite.name}: ${error.message}`);
    }
  }
  const peers = hasPeers(root) ? await comparePeers(root, size, onProgress) : NO_PEERS;
  return {
    size,
    day,
    machine,
    seconds: secondsSince(began),
    suites: results,
    peers: peers.comparisons,
    skipped: [...skipped, ...peers.skipped],
  };
}

async function measureSuite(
  { name, run }: ReportSuite,
  size: Size,
  onProgress: OnProgress,
): Promise<MeasuredSuite> {
  const others = await OtherUse.begin();
  const began = performance.now();
  const { rows } = await run(size, (what) => onProgress(`${name}: ${what}`));
  const seconds = secondsSince(began);
  return { suite: name, seconds, others_cores: rounded(await others.cores(), 2), rows };
}

/** What a suite says that it had to do without. */
function leftOut(rows: readonly Row[]): string[] {
  return rows.flatMap((row) => ('left_out' in row ? [`${row['what']}: ${row['left_out']}`] : []));
}

function secondsSince(began: number): number {
  return rounded((performance.now() - began) / 1000, 1);
}

/** How many steps {@link measureAll} tells of. */
export function measureSteps(size: Size, root: string): number {
  const steps = reportSuites.reduce((sum, suite) => sum + suite.steps(size), 0);
  return steps + (hasPeers(root) ? PEER_STEPS : 0);
}
