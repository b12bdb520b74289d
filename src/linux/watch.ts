import koffi from 'koffi';

/** Watches a descriptor through this thread's event loop. */
export interface DescriptorWatch {
  /** Whether the watch keeps the process alive. */
  keepAlive(keep: boolean): void;
  close(): void;
}

/** Watches that are open: one that nobody refers to would be collected, and closed, with its handle. */
const open = new Set<object>();

/** Calls `onReadable` from the event loop whenever `fd` is readable, again and again until it was drained. */
export function watchDescriptor(fd: number, onReadable: () => void): DescriptorWatch {
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
