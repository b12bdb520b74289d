import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { promisify } from 'node:util';
import type { Comparison } from '../comparison.ts';
import type { OnProgress } from '../suite.ts';
import type { Size } from './suites.ts';

/** The scripts of `benchmarks/`, each of which makes one comparison or several. */
const SCRIPTS: readonly string[] = ['calls', 'launches', 'key-value', 'http', 'sealing'];

/** How many steps {@link comparePeers} tells of. */
export const PEER_STEPS: number = SCRIPTS.length;

export interface PeerResults {
  readonly comparisons: Comparison[];
  /** A line for each peer that is not installed. */
  readonly skipped: string[];
}

export const NO_PEERS: PeerResults = { comparisons: [], skipped: [] };

/** Says whether the peers are installed below `root`; none of them is a dependency of sgxio. */
export function hasPeers(root: string): boolean {
  return existsSync(join(root, 'benchmarks/node_modules'));
}

/** Runs the comparisons with the peers, each script in a process of its own that prints a document a line. */
export async function comparePeers(root: string, size: Size, onProgress: OnProgress): Promise<PeerResults> {
  const results: PeerResults = { comparisons: [], skipped: [] };
  for (const name of SCRIPTS) {
    onProgress(`peers: ${name}`);
    const script = join(root, 'benchmarks', `${name}.mjs`);
    const flags = size === 'full' ? ['--json'] : ['--json', `--${size}`];
    const { stdout } = await promisify(execFile)(process.execPath, [script, ...flags]);
    for (const line of stdout.trim().split('\n')) {
      const document = JSON.parse(line) as Comparison | { readonly skipped: string };
      if ('skipped' in document) results.skipped.push(document.skipped);
      else results.comparisons.push(document);
    }
  }
  return results;
}
