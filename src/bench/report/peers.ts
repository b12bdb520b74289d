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
  /** A line for each peer that is not installed, and for each script that ended early. */
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
    try {
      const { stdout } = await promisify(execFile)(process.execPath, [script, ...flags]);
      takeDocuments(stdout, results);
    } catch (error) {
      // What it printed before it ended holds; all else that was measured must not be lost with it.
      const { stdout = '', message } = error as { stdout?: string; message: string };
      takeDocuments(stdout, results);
      results.skipped.push(`${name}: the comparison ended early (${message.split('\n')[0]})`);
    }
  }
  return results;
}

/** Takes the documents of a script, one a line. */
function takeDocuments(text: string, { comparisons, skipped }: PeerResults): void {
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const document = JSON.parse(line) as Comparison | { readonly skipped: string };
    if ('skipped' in document) skipped.push(document.skipped);
    else comparisons.push(document);
  }
}
