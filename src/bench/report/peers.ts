import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { promisify } from 'node:util';
import type { Comparison } from '../comparison.ts';
import type { OnProgress } from '../suite.ts';
import type { Size } from './suites.ts';

/** The comparisons of `benchmarks/`, each a script. */
const QUESTIONS: readonly string[] = ['calls', 'launches', 'sealing'];

/** How many steps {@link comparePeers} tells of. */
export const PEER_STEPS: number = QUESTIONS.length;

/** Says whether the peers are installed below `root`; none of them is a dependency of sgxio. */
export function hasPeers(root: string): boolean {
  return existsSync(join(root, 'benchmarks/node_modules'));
}

/** Runs the comparisons with the peers, each in a process of its own. */
export async function comparePeers(root: string, size: Size, onProgress: OnProgress): Promise<Comparison[]> {
  const comparisons: Comparison[] = [];
  for (const question of QUESTIONS) {
    onProgress(`peers: ${question}`);
    const script = join(root, 'benchmarks', `${question}.mjs`);
    const flags = size === 'full' ? ['--json'] : ['--json', '--quick'];
    const { stdout } = await promisify(execFile)(process.execPath, [script, ...flags]);
    comparisons.push(JSON.parse(stdout) as Comparison);
  }
  return comparisons;
}
