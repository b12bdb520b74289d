import { closeDescriptor } from '../linux/events.ts';
import { getSocketOption, localAddress, SO_ACCEPTCONN } from '../linux/sockets.ts';
import { DatagramSocket } from './datagram.ts';
import type { Executor, Resource } from './executor.ts';
import { HostFile } from './files.ts';
import { type Journal, ResourceType } from './journal.ts';
import { address, pathOf } from './net.ts';
import { Poller } from './poller.ts';
import { Socket } from './socket.ts';
import { Stream } from './streams.ts';

/** Stands where something was that its worker's memory alone knew: calls on it fail with EBADF until it is closed. */
class Lost implements Resource {
  readonly #descriptor: number;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  close(): number {
    return this.#descriptor < 0 ? 0 : closeDescriptor(this.#descriptor);
  }
}

/** Makes again, from the journal, what handles and resolved names of the worker before this one stand for. */
export function restoreHandles(executor: Executor, journal: Journal): void {
  const handles = [...journal.handles()];
  const byDescriptor = new Map(handles.map(({ descriptor, handle }) => [descriptor, handle]));
  const resources = new Map<number, Resource>();
  for (const { handle, type, descriptor } of handles) {
    resources.set(handle, restore(type, descriptor, byDescriptor));
  }
  executor.restore(resources);
  executor.resolved.restore(journal.names);
  if (resources.has(journal.unannounced)) executor.closeHandle(journal.unannounced);
}

function restore(type: number, descriptor: number, handles: ReadonlyMap<number, number>): Resource {
  switch (type) {
    case ResourceType.socket:
      return new Socket(descriptor, isListening(descriptor) ? pathAt(descriptor) : undefined);
    case ResourceType.datagram:
      return new DatagramSocket(descriptor, pathAt(descriptor));
    case ResourceType.stream:
      return new Stream(descriptor);
    case ResourceType.poller:
      return new Poller(descriptor, handles);
    case ResourceType.file:
      return new HostFile(descriptor);
    default:
      return new Lost(descriptor);
  }
}

/** Connections have the path of the listener that they came through, which is not theirs to remove. */
function isListening(descriptor: number): boolean {
  return getSocketOption(descriptor, SO_ACCEPTCONN) === 1;
}

/** The path that binding this socket made. */
function pathAt(descriptor: number): string | undefined {
  const where = localAddress(descriptor, address) < 0 ? undefined : address.decode();
  return where === undefined ? undefined : pathOf(where);
}
