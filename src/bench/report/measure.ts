import { describeMachine } from '../machine.ts';
import type { OnProgress } from '../suite.ts';
import type { ReportData } from './data.ts';
import { comparePeers, hasPeers, PEER_STEPS } from './peers.ts';
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
  const results: ReportData['suites'][number][] = [];
  for (const { name, run } of suites) {
    const began = performance.now();
    const { suite, rows } = await run(size, (what) => onProgress(`${name}: ${what}`));
    results.push({ suite, seconds: Math.round((performance.now() - began) / 100) / 10, rows });
  }
  const peers = hasPeers(root) ? await comparePeers(root, size, onProgress) : [];
  return { size, day, machine, suites: results, peers };
}

/** How many steps {@link measureAll} tells of. */
export function measureSteps(size: Size, root: string): number {
  const steps = reportSuites.reduce((sum, suite) => sum + suite.steps(size), 0);
  return steps + (hasPeers(root) ? PEER_STEPS : 0);
}
