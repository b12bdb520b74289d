import { readFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
import koffi from 'koffi';
import { declare } from './ffi.ts';

const dlopen = declare<(path: string, flags: number) => unknown>('void *dlopen(const char *, int)');
const RTLD_NOW = 0x2;
const RTLD_NODELETE = 0x1000;

/** Watches a descriptor through this thread's event loop. */
export interface DescriptorWatch {
  /** Whether the watch keeps the process alive. */
  keepAlive(keep: boolean): void;
  close(): void;
}

/** Watches that are open: one that nobody refers to would be collected, and closed, with its handle. */
const open = new Set<object>();

let staysLoaded: boolean = isMainThread;

/**
 * A thread that is terminated unloads the library when no other has it, and only then lets its event loop close the
 * handles that are open, which the library was to be told of. The main thread never unloads anything.
 */
function keepLoaded(): void {
  if (staysLoaded) return;
  const path = /\/.*koffi\.node$/m.exec(readFileSync('/proc/self/maps', 'utf8'))?.[0];
  if (path !== undefined) dlopen(path, RTLD_NOW | RTLD_NODELETE);
  staysLoaded = true;
}

/** Calls `onReadable` from the event loop whenever `fd` is readable, again and again until it was drained. */
export function watchDescriptor(fd: number, onReadable: () => void): DescriptorWatch {
  keepLoaded();
  const handle = koffi.node.poll(fd, { readable: true }, onReadable);
  open.add(handle);
  return {
    keepAlive: (keep) => {
      if (keep) handle.ref();
      else handle.unref();
    },
    close: () => {
      open.delete(handle);
      handle.close();
    },
  };
}
