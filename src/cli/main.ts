#!/usr/bin/env node
import process from 'node:process';
import { Command, CommanderError } from 'commander';
import { SgxioError, SystemError } from '../errors.ts';
import { RUNTIME_VERSION } from '../image/manifest.ts';
import { addBench } from './bench.ts';
import { addBuild } from './build.ts';
import { addDoctor } from './doctor.ts';
import { addFiles } from './files.ts';
import { addInspect } from './inspect.ts';
import { addRun } from './run.ts';
import { addTrace } from './trace.ts';

const COMMANDS: readonly ((program: Command) => void)[] = [
  addBuild,
  addInspect,
  addRun,
  addTrace,
  addFiles,
  addBench,
  addDoctor,
];
/** What a user's mistake ends with. A defect of this program ends with 1 and a stack trace. */
const MISTAKE = 2;

const program = new Command('sgxio')
  .description('Exit-less system services for enclaves, on stock Linux')
  .version(RUNTIME_VERSION)
  .exitOverride()
  .showSuggestionAfterError(false)
  .configureOutput({ outputError: (text, write) => write(text.replace(/^error:/, 'sgxio:')) })
  .addHelpText(
    'after',
    `
Examples:
  $ sgxio doctor                                     what this machine can do
  $ sgxio build server.ts -o server.sgxio            bundle a program into an image
  $ sgxio inspect server.sgxio                       what is in it, and its measurement
  $ sgxio run server.sgxio                           in an enclave
  $ sgxio bench call                                 what a call costs on this machine`,
  );
for (const add of COMMANDS) add(program);

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = exitCodeOf(error);
}

/** Commander has printed its line already; every other error of a user's gets its line here. */
function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : MISTAKE;
  if (!(error instanceof SgxioError || error instanceof SystemError)) throw error;
  console.error(`sgxio: ${error.message}`);
  return MISTAKE;
}
