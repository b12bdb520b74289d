import { createRequire, isBuiltin } from 'node:module';
import process from 'node:process';
import { compileFunction } from 'node:vm';
import { ImageError, SgxioError } from '../errors.ts';

/**
 * Runs the code of an image. What a program may not do is refused by the kernel after lock-down whatever it
 * loads; this file says so earlier, in words, and names the service to use instead.
 */

export type ProgramExports = Readonly<Record<string, unknown>>;

/** Modules of Node that only compute. */
const COMPUTING_MODULES: ReadonlySet<string> = new Set([
  'assert',
  'assert/strict',
  'async_hooks',
  'buffer',
  'crypto',
  'diagnostics_channel',
  'events',
  'path',
  'path/posix',
  'perf_hooks',
  'querystring',
  'stream',
  'stream/consumers',
  'stream/promises',
  'stream/web',
  'string_decoder',
  'timers',
  'timers/promises',
  'url',
  'util',
  'util/types',
  'zlib',
]);

const ADVICE: ReadonlyMap<string, string> = new Map([
  ...entries(['fs', 'fs/promises'], "use 'files' of sgxio/enclave"),
  ...entries(
    ['net', 'tls', 'dgram', 'http', 'https', 'http2', '_http_client', '_http_server', '_tls_wrap'],
    "use 'net' of sgxio/enclave",
  ),
  ...entries(['dns', 'dns/promises'], "use 'names' of sgxio/enclave"),
  ...entries(['tty', 'readline', 'readline/promises'], "use 'streams' of sgxio/enclave"),
  ...entries(['child_process'], 'an enclave starts no processes; do the work in its host'),
  ...entries(['worker_threads', 'cluster'], "ask for 'threads' in the manifest and launch work on them"),
  ...entries(
    ['inspector', 'inspector/promises', 'repl', 'trace_events', 'v8'],
    'nothing looks into an enclave',
  ),
  ...entries(['vm', 'module', 'wasi', 'sea'], 'an image holds all of its code; import it when you build'),
  ...entries(['os'], "declare what the program needs to know as 'input' in the manifest"),
  ...entries(['console'], 'use the global console'),
]);

/** Globals that reach out of the process, which is refused. */
const NETWORK_GLOBALS = ['fetch', 'WebSocket', 'EventSource'];
const REFUSED_PROCESS_METHODS: ReadonlyMap<string, string> = new Map([
  ...entries(['binding', '_linkedBinding', 'dlopen'], 'an image holds all of its code'),
  ...entries(
    ['kill', 'abort', 'exit', 'reallyExit'],
    'the host stops the enclave; return from the launch instead',
  ),
  ...entries(['chdir', 'setuid', 'setgid', 'umask'], 'an enclave has no settings of a process'),
]);

/**
 * Evaluates a bundle in this realm and returns what it exports. The globals that reach out are replaced first,
 * for good, so that every copy of the program's dependencies meets the same answer.
 *
 * @param modules what `sgxio/enclave` and the like stand for
 * @param input the manifest's input: the program finds it as `process.env`
 */
export function loadProgram(
  code: string,
  modules: ReadonlyMap<string, unknown>,
  input: Readonly<Record<string, string>> = {},
): ProgramExports {
  const programProcess = createProcess(input);
  replaceGlobals(programProcess);
  const require = createProgramRequire(modules, programProcess);
  const module: { exports: ProgramExports } = { exports: {} };
  compile(code)(module, module.exports, require);
  return module.exports;
}

type Bundle = (module: object, exports: object, require: (name: string) => unknown) => void;

/** Dynamic imports of the program became `require` when it was bundled; one that is left has no loader. */
function compile(code: string): Bundle {
  try {
    return compileFunction(code, ['module', 'exports', 'require'], { filename: 'program' }) as Bundle;
  } catch (cause) {
    throw new ImageError(
      'SGXIO_IMAGE_INVALID',
      `The image's code is no script: ${(cause as Error).message}.`,
      { cause },
    );
  }
}

function createProgramRequire(
  modules: ReadonlyMap<string, unknown>,
  programProcess: object,
): (name: string) => unknown {
  const requireFromNode = createRequire(import.meta.url);
  return (name) => {
    if (modules.has(name)) return modules.get(name);
    const plain = name.replace(/^node:/, '');
    if (plain === 'process') return programProcess;
    if (COMPUTING_MODULES.has(plain)) return requireFromNode(`node:${plain}`);
    throw forbidden(`load '${name}'`, adviceFor(name, plain));
  };
}

function adviceFor(name: string, plain: string): string {
  const advice = ADVICE.get(plain);
  if (advice !== undefined) return advice;
  return isBuiltin(name)
    ? 'it reaches out of the enclave'
    : 'it is not in the image; import it when you build';
}

/** All that a program sees of its process: facts that are the same wherever it runs, and its own input. */
function createProcess(input: Readonly<Record<string, string>>): object {
  const refused = [...REFUSED_PROCESS_METHODS].map(([name, advice]) => [
    name,
    () => {
      throw forbidden(`call process.${name}`, advice);
    },
  ]);
  return Object.freeze({
    ...Object.fromEntries(refused),
    env: Object.freeze({ ...input }),
    argv: Object.freeze([]),
    execArgv: Object.freeze([]),
    platform: process.platform,
    arch: process.arch,
    version: process.version,
    versions: Object.freeze({ ...process.versions }),
    release: Object.freeze({ name: 'node' }),
    cwd: () => '/',
    nextTick: process.nextTick,
    hrtime: process.hrtime,
    uptime: () => performance.now() / 1000,
    emitWarning: (warning: string | Error) => console.error(String(warning)),
    // Listeners of a process's events wait for what never comes here.
    ...Object.fromEntries(
      ['on', 'once', 'off', 'addListener', 'removeListener'].map((name) => [name, ignoreListener]),
    ),
  });
}

function ignoreListener(this: unknown): unknown {
  return this;
}

function replaceGlobals(programProcess: object): void {
  define('process', programProcess);
  for (const name of NETWORK_GLOBALS) define(name, refusedGlobal(name));
}

/** A function and not an arrow: some of them are called with `new`. */
function refusedGlobal(name: string): () => never {
  function refused(): never {
    throw forbidden(`use ${name}`, "use 'net' of sgxio/enclave");
  }
  return refused;
}

function define(name: string, value: unknown): void {
  Object.defineProperty(globalThis, name, { value, writable: false, enumerable: false, configurable: true });
}

function forbidden(what: string, advice: string): SgxioError {
  return new SgxioError('SGXIO_FORBIDDEN_MODULE', `A program in an enclave cannot ${what}: ${advice}.`);
}

function entries(names: readonly string[], advice: string): [string, string][] {
  return names.map((name) => [name, advice]);
}
