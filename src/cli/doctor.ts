import process from 'node:process';
import type { Command } from 'commander';
import { checkMachine, type MachineCheck } from '../host/machine.ts';

/** What a machine on which no enclave runs ends with. */
const CANNOT_RUN = 1;

/** `sgxio doctor`: what this kernel and these limits enforce. */
export function addDoctor(program: Command): void {
  program
    .command('doctor')
    .description(
      'say what this machine enforces, what is missing and what to do; ends with 1 if no enclave can run',
    )
    .option('--json', 'print one JSON document')
    .addHelpText('after', '\nExamples:\n  $ sgxio doctor\n  $ sgxio doctor --json')
    .action(doctor);
}

function doctor({ json = false }: { json?: boolean }): void {
  const checks = checkMachine();
  const ready = checks.every((check) => check.status === 'enforced' || !check.required);
  console.log(json ? JSON.stringify({ ready, checks }, null, 2) : describe(checks, ready));
  if (!ready) process.exitCode = CANNOT_RUN;
}

function describe(checks: readonly MachineCheck[], ready: boolean): string {
  const lines = checks.flatMap(({ name, status, required, finding, advice }) => [
    `${status.padEnd(8)}  ${name.padEnd(13)}  ${finding}${status === 'missing' && !required ? ' (not required)' : ''}`,
    ...advice.map((line) => `          - ${line}`),
  ]);
  return [...lines, ready ? 'Enclaves can run here.' : 'No enclave can run here.'].join('\n');
}
