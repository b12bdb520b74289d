import type { Command } from 'commander';
import { echoSteps, echoSuite } from '../bench/echo.ts';
import { IDLE_STEPS, idleSuite } from '../bench/idle.ts';
import { scaleSteps, scaleSuite } from '../bench/scale.ts';
import type { OnProgress, SuiteResult } from '../bench/suite.ts';

/** Runs a suite of so many steps and prints what it gives. */
export type RunSuite = (
  steps: number,
  json: true | undefined,
  suite: (tell: OnProgress) => Promise<SuiteResult>,
) => Promise<unknown>;

interface Json {
  readonly json?: true;
}

const ROUNDS = 5;
const SCALE_CONNECTIONS = [1, 10, 100, 1000, 10_000];
const IDLE_CONNECTIONS = 10_000;
const IDLE_SECONDS = 10;
const FIRST_REQUESTS = 10;
/** Of the connections that are open, those that have a message on its way. */
const ACTIVE = 64;

/** The suites around the echo server. */
export function addEchoSuites(
  bench: Command,
  run: RunSuite,
  parseCount: (text: string) => number,
  parseCounts: (text: string) => number[],
): void {
  bench
    .command('echo')
    .description('a TCP echo server in an enclave, in place, and an unprotected one of Node')
    .option('--json', 'print one JSON document')
    .option('--connections <list>', 'connections with one message on its way each', parseCounts, [1, 8, 64])
    .option('--bytes <number>', 'bytes of a message', parseCount, 64)
    .option('--requests <number>', 'messages of each round', parseCount, 20_000)
    .action(
      async ({ json, ...options }: Json & { connections: number[]; bytes: number; requests: number }) => {
        await run(echoSteps(ROUNDS), json, (tell) => echoSuite({ ...options, rounds: ROUNDS }, tell));
      },
    );
  bench
    .command('idle')
    .description('what a server with many idle connections uses, and its first answer after a pause')
    .option('--json', 'print one JSON document')
    .option('--connections <number>', 'idle connections', parseCount, IDLE_CONNECTIONS)
    .option('--seconds <number>', 'how long nothing happens', parseCount, IDLE_SECONDS)
    .action(async ({ json, ...options }: Json & { connections: number; seconds: number }) => {
      await run(IDLE_STEPS, json, (tell) => idleSuite({ ...options, firstRequests: FIRST_REQUESTS }, tell));
    });
  bench
    .command('scale')
    .description('the cost of a request, however many connections are open')
    .option('--json', 'print one JSON document')
    .option('--connections <list>', 'open connections, from few to many', parseCounts, SCALE_CONNECTIONS)
    .option('--requests <number>', 'messages of each round', parseCount, 20_000)
    .action(async ({ json, ...options }: Json & { connections: number[]; requests: number }) => {
      await run(scaleSteps(options.connections, ROUNDS), json, (tell) =>
        scaleSuite({ ...options, active: ACTIVE, rounds: ROUNDS }, tell),
      );
    });
}
