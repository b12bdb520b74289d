import { CALL_STEPS, callSuite } from '../call.ts';
import { COPY_STEPS, copySuite } from '../copy.ts';
import { CROSSOVER_FULL, type CrossoverOptions, crossoverSteps, crossoverSuite } from '../crossover.ts';
import { type EchoOptions, echoSteps, echoSuite } from '../echo.ts';
import { ENGINES_STEPS, enginesSuite } from '../engines.ts';
import { FILES_STEPS, filesSuite } from '../files.ts';
import { type IdleOptions, idleSuite } from '../idle.ts';
import { LAUNCH_STEPS, launchSuite } from '../launch.ts';
import { MEMORY_STEPS, memorySuite } from '../memory.ts';
import { ONE_CORE_STEPS, type OneCoreOptions, oneCoreSuite } from '../one-core.ts';
import { parameterServerSteps, parameterServerSuite } from '../parameter-server.ts';
import { PROFILE_FULL, profileSteps, profileSuite } from '../profile.ts';
import {
  PROTECTED_FILES_STEPS,
  type ProtectedFilesOptions,
  protectedFilesSuite,
} from '../protected-files.ts';
import { type ScaleOptions, scaleSteps, scaleSuite } from '../scale.ts';
import { START_FULL, startSteps, startSuite } from '../start.ts';
import type { OnProgress, SuiteResult } from '../suite.ts';
import { THREADS_FULL, type ThreadsOptions, threadsSteps, threadsSuite } from '../threads.ts';

/** `full` is what is published; `quick` shows in a minute or two that all works; `smoke` in seconds. */
export type Size = 'full' | 'quick' | 'smoke';

/** One suite as the report runs it. */
export interface ReportSuite {
  readonly name: string;
  /** How many steps it tells of. */
  steps(size: Size): number;
  run(size: Size, onProgress: OnProgress): Promise<SuiteResult>;
}

type Sizes<Options> = Readonly<Record<Size, Options>>;

const START: Sizes<{ rounds: number }> = { full: START_FULL, quick: { rounds: 3 }, smoke: { rounds: 1 } };

const PROFILE: Sizes<{ rounds: number; batches: number }> = {
  full: PROFILE_FULL,
  quick: { rounds: 3, batches: 500 },
  smoke: { rounds: 1, batches: 500 },
};

const CROSSOVER: Sizes<CrossoverOptions> = {
  full: CROSSOVER_FULL,
  quick: { bytes: [16, 4096, 65_536, 1_048_576], rounds: 2, calls: 300 },
  smoke: { bytes: [16, 65_536], rounds: 1, calls: 50 },
};

const PARAMETER_SERVER: Sizes<{ items: readonly number[]; requests: number }> = {
  full: { items: [1, 2, 4, 8, 16, 32, 64], requests: 40_000 },
  quick: { items: [1, 8, 64], requests: 1500 },
  smoke: { items: [1], requests: 300 },
};

const ECHO: Sizes<EchoOptions> = {
  full: { connections: [1, 8, 64], bytes: 64, requests: 20_000, rounds: 5 },
  quick: { connections: [1, 8, 64], bytes: 64, requests: 4000, rounds: 2 },
  smoke: { connections: [4], bytes: 64, requests: 500, rounds: 1 },
};

const SCALE: Sizes<ScaleOptions> = {
  full: { connections: [1, 10, 100, 1000, 10_000], active: 64, requests: 20_000, rounds: 3 },
  quick: { connections: [10, 100], active: 10, requests: 2000, rounds: 1 },
  smoke: { connections: [10], active: 10, requests: 500, rounds: 1 },
};

const IDLE_SERVERS = ['exitless', 'exitless, tasks', 'node:net'];
const IDLE: Sizes<IdleOptions & { servers: readonly string[] }> = {
  full: { connections: 10_000, seconds: 5, firstRequests: 5, servers: IDLE_SERVERS },
  quick: { connections: 100, seconds: 1, firstRequests: 1, servers: IDLE_SERVERS },
  smoke: { connections: 10, seconds: 0.5, firstRequests: 1, servers: ['exitless'] },
};

const ONE_CORE: Sizes<OneCoreOptions> = {
  full: { requests: 5000 },
  quick: { requests: 500 },
  smoke: { requests: 100 },
};

const THREADS: Sizes<ThreadsOptions> = {
  full: THREADS_FULL,
  quick: { threads: [1, 2], rounds: 3, milliseconds: 50 },
  smoke: { threads: [2], rounds: 1, milliseconds: 20 },
};

const PROTECTED_FILES: Sizes<ProtectedFilesOptions> = {
  full: { megabytes: 64, rounds: 5 },
  quick: { megabytes: 16, rounds: 2 },
  smoke: { megabytes: 16, rounds: 1 },
};

/** The model of the published experiment, in MiB. */
const MODEL_MIB = 2;

/** One that does not fit into private memory, and how often it is updated, an item a request. */
const LARGE_MODEL: Sizes<{ modelMib: number; requests: number }> = {
  full: { modelMib: 512, requests: 15_000 },
  quick: { modelMib: 128, requests: 3000 },
  smoke: { modelMib: 64, requests: 300 },
};

/** Every suite of the report, in its order. */
export const reportSuites: readonly ReportSuite[] = [
  { name: 'call', steps: () => CALL_STEPS, run: (_size, tell) => callSuite(tell) },
  {
    name: 'profile',
    steps: (size) => profileSteps(PROFILE[size].rounds),
    run: (size, tell) => profileSuite(PROFILE[size], tell),
  },
  {
    name: 'parameter-server',
    steps: () => parameterServerSteps({ modelMib: MODEL_MIB }),
    run: (size, tell) =>
      parameterServerSuite({ ...PARAMETER_SERVER[size], wire: 'memory', modelMib: MODEL_MIB }, tell),
  },
  {
    name: 'large-model',
    steps: (size) => parameterServerSteps(LARGE_MODEL[size]),
    run: (size, tell) => parameterServerSuite({ ...LARGE_MODEL[size], items: [1], wire: 'memory' }, tell),
  },
  {
    name: 'echo',
    steps: (size) => echoSteps(ECHO[size].rounds),
    run: (size, tell) => echoSuite(ECHO[size], tell),
  },
  {
    name: 'scale',
    steps: (size) => scaleSteps(SCALE[size].connections, SCALE[size].rounds),
    run: (size, tell) => scaleSuite(SCALE[size], tell),
  },
  {
    name: 'one-core',
    steps: () => ONE_CORE_STEPS,
    run: (size, tell) => oneCoreSuite(ONE_CORE[size], tell),
  },
  { name: 'launch', steps: () => LAUNCH_STEPS, run: (_size, tell) => launchSuite(tell) },
  { name: 'copy', steps: () => COPY_STEPS, run: (_size, tell) => copySuite(tell) },
  {
    name: 'threads',
    steps: (size) => threadsSteps(THREADS[size].rounds),
    run: (size, tell) => threadsSuite(THREADS[size], tell),
  },
  { name: 'files', steps: () => FILES_STEPS, run: (_size, tell) => filesSuite(tell) },
  { name: 'engines', steps: () => ENGINES_STEPS, run: (_size, tell) => enginesSuite(tell) },
  {
    name: 'protected-files',
    steps: () => PROTECTED_FILES_STEPS,
    run: (size, tell) => protectedFilesSuite(PROTECTED_FILES[size], tell),
  },
  {
    name: 'memory',
    steps: () => MEMORY_STEPS,
    run: (size, tell) => memorySuite({ size: size === 'full' ? 'report' : 'quick' }, tell),
  },
  {
    name: 'idle',
    steps: (size) => IDLE[size].servers.length,
    run: (size, tell) => idleSuite(IDLE[size], tell),
  },
  {
    name: 'start',
    steps: (size) => startSteps(START[size].rounds),
    run: (size, tell) => startSuite(START[size], tell),
  },
  {
    name: 'crossover',
    steps: (size) => crossoverSteps(CROSSOVER[size].rounds),
    run: (size, tell) => crossoverSuite(CROSSOVER[size], tell),
  },
];
