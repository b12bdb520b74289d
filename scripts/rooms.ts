/**
 * The import rule of the rooms: which part of the source may import which. The trusted side (`enclave`) and the
 * untrusted side (`host`) meet in `boundary` alone, and one room alone reaches the kernel.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import typescript from 'typescript';

const BASE = ['src/errors.ts', 'src/limits.ts'];

/** A room is a path's beginning; the first that fits counts. It imports itself and the rooms listed; `src/` is all. */
const ROOMS: ReadonlyMap<string, readonly string[]> = new Map([
  ['src/errors.ts', []],
  ['src/limits.ts', []],
  ['src/linux/', BASE],
  ['src/boundary/', BASE],
  ['src/image/build.ts', [...BASE, 'src/image/', 'src/boundary/']],
  ['src/image/', [...BASE, 'src/boundary/']],
  ['src/enclave/', [...BASE, 'src/enclave.ts', 'src/boundary/', 'src/linux/', 'src/image/']],
  ['src/enclave.ts', [...BASE, 'src/boundary/', 'src/enclave/']],
  ['src/host/', [...BASE, 'src/boundary/', 'src/linux/', 'src/image/', 'src/image/build.ts']],
  ['src/index.ts', [...BASE, 'src/boundary/', 'src/host/', 'src/image/', 'src/image/build.ts']],
  ['src/bench/', ['src/', 'apps/']],
  ['src/', []],
]);

/** Listed, they stand for all that is in them. */
const WHOLE = ['src/', 'apps/'];

const PUBLIC_ENTRIES = ['src/index.ts', 'src/enclave.ts'];

/** Packages that only one room may use. */
const PACKAGES: ReadonlyMap<string, string> = new Map([
  ['koffi', 'src/linux/'],
  ['esbuild', 'src/image/build.ts'],
  ['commander', 'src/cli/'],
]);

/** The violations of all source files below `root`, one line each. */
export function findViolations(root: string): string[] {
  return sourceFiles(root).flatMap((file) =>
    importsOf(join(root, file))
      .map((specifier) => violation(root, file, specifier))
      .filter((message) => message !== undefined),
  );
}

function sourceFiles(root: string): string[] {
  return ['src', 'apps'].flatMap((folder) =>
    readdirSync(root).includes(folder)
      ? readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
          .filter((file) => file.endsWith('.ts'))
          .sort()
          .map((file) => join(folder, file))
      : [],
  );
}

function importsOf(path: string): string[] {
  const source = typescript.preProcessFile(readFileSync(path, 'utf8'), true, true);
  return source.importedFiles.map((file) => file.fileName);
}

function violation(root: string, file: string, specifier: string): string | undefined {
  if (!specifier.startsWith('.')) return packageViolation(file, specifier);
  const target = relative(root, resolve(dirname(join(root, file)), specifier));
  const allowed = allowedFor(file);
  const targetRoom = roomOf(target);
  if (allowed.some((room) => room === targetRoom || (WHOLE.includes(room) && target.startsWith(room)))) {
    return undefined;
  }
  return `${file} imports ${target}; it may import only: ${allowed.join(', ')}`;
}

function packageViolation(file: string, specifier: string): string | undefined {
  const owner = PACKAGES.get(specifier);
  if (owner === undefined || file.startsWith(owner)) return undefined;
  return `${file} imports ${specifier}; only ${owner} may`;
}

function allowedFor(file: string): readonly string[] {
  const room = roomOf(file)!;
  return [room, ...(room.startsWith('apps/') ? PUBLIC_ENTRIES : ROOMS.get(room)!)];
}

/** `src/enclave/` for a file in it, `apps/echo/` for a file of that application. */
function roomOf(file: string): string | undefined {
  if (file.startsWith('apps/')) return `${file.split('/').slice(0, 2).join('/')}/`;
  return [...ROOMS.keys()].find((room) => file.startsWith(room));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const violations = findViolations(join(import.meta.dirname, '../..'));
  for (const message of violations) console.error(message);
  process.exitCode = violations.length === 0 ? 0 : 1;
}
