import { execFile } from 'node:child_process';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type OnProgress, type Row, rounded, type SuiteResult } from './suite.ts';

export interface OneCoreOptions {
  /** Messages of a round of the suite that is run. */
  readonly requests: number;
}

const CONNECTIONS = 8;
const SERVERS: readonly string[] = ['exitless', 'exit', 'node:net'];

/** The suite of the echo server with everything on one core, its client too, beside the same on all of them. */
export async function oneCoreSuite(
  { requests }: OneCoreOptions,
  onProgress: OnProgress,
): Promise<SuiteResult> {
  const command = [
    process.execPath,
    fileURLToPath(new URL('../cli/main.js', import.meta.url)),
    ...['bench', 'echo', '--json', '--connections', String(CONNECTIONS), '--requests', String(requests)],
  ];
  onProgress('all cores');
  const all = await run(command);
  onProgress('one core');
  const one = await run(['taskset', '--cpu-list', '0', ...command]);
  const rows = SERVERS.map((name): Row => {
    const [onAll, onOne] = [find(all, name), find(one, name)];
    return {
      name,
      connections: CONNECTIONS,
      all_cores_requests_per_s: Number(onAll['requests_per_s']),
      one_core_requests_per_s: Number(onOne['requests_per_s']),
      ratio: rounded(Number(onOne['requests_per_s']) / Number(onAll['requests_per_s']), 3),
      all_cores_processor_us_per_request: Number(onAll['processor_us_per_request']),
      one_core_processor_us_per_request: Number(onOne['processor_us_per_request']),
      spread: Math.max(Number(onAll['spread']), Number(onOne['spread'])),
    };
  });
  return { suite: 'one-core', rows };
}

/** How many steps {@link oneCoreSuite} tells of. */
export const ONE_CORE_STEPS = 2;

async function run([file, ...values]: readonly string[]): Promise<SuiteResult> {
  const { stdout } = await promisify(execFile)(file!, values);
  return JSON.parse(stdout) as SuiteResult;
}

function find({ rows }: SuiteResult, name: string): Row {
  return rows.find((row) => row['name'] === name)!;
}
