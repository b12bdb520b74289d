import { type ChildProcess, spawn } from 'node:child_process';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import type { Boot, Strategy } from '../boundary/boot.ts';
import type { StreamName } from '../boundary/grants.ts';

const programs: Readonly<Record<Strategy, string>> = {
  exitless: '../enclave/main.js',
  exit: '../enclave/main.js',
  direct: '../direct-main.js',
  'exit-sgx': '../direct-main.js',
};

/**
 * An enclave's process gets no environment, no input, and no descriptor but those that it is given. A program
 * whose calls are served in its own process has the streams that it was granted there.
 */
export function startProcess(
  boot: Boot,
  descriptors: readonly number[],
  streams: readonly StreamName[],
): ChildProcess {
  const granted = (name: StreamName): 'inherit' | 'ignore' => (streams.includes(name) ? 'inherit' : 'ignore');
  const program = fileURLToPath(new URL(programs[boot.strategy], import.meta.url));
  return spawn(process.execPath, ['--no-warnings', program, JSON.stringify(boot)], {
    stdio: [granted('stdin'), granted('stdout'), 'inherit', ...descriptors],
    env: {},
    cwd: '/',
  });
}

/** One that could not be started has no number: Node may then kill this process and its whole group in its place. */
export function killProcess(child: ChildProcess): void {
  if (child.pid !== undefined) child.kill('SIGKILL');
}

/** Ends a process that nobody watches. */
export function abandon(child: ChildProcess): void {
  child.once('error', () => {});
  killProcess(child);
}
