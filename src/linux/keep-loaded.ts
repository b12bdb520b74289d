import { readFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
import { declare } from './ffi.ts';

const dlopen = declare<(path: string, flags: number) => unknown>('void *dlopen(const char *, int)');
const RTLD_NOW = 0x2;
const RTLD_NODELETE = 0x1000;

let staysLoaded: boolean = isMainThread;

/**
 * Keeps the library for native calls in the process. A thread that is terminated unloads it when no other thread has
 * it, and only then lets its event loop close the handles that are open, which the library was to be told of. The
 * main thread never unloads anything.
 */
export function keepLoaded(): void {
  if (staysLoaded) return;
  const path = /\/.*koffi\.node$/m.exec(readFileSync('/proc/self/maps', 'utf8'))?.[0];
  if (path !== undefined) dlopen(path, RTLD_NOW | RTLD_NODELETE);
  staysLoaded = true;
}
