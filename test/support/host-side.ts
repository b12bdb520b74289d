import type { ChannelLayout } from '../../src/boundary/layout.ts';
import type { Request } from '../../src/boundary/ring.ts';

/** What a lie can do: all that a host can do to the boundary, whichever process the enclave's end is in. */
export interface HostSide {
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  readonly layout: ChannelLayout;
  /** Puts an entry into the completion ring, whatever it says, and wakes the enclave. */
  answer(id: number, result: number, extra0?: number, extra1?: number): void;
  /** The bytes that a request lent. */
  payload(request: Request): Uint8Array<SharedArrayBuffer>;
}

/** Told of every submission, with a copy of its own. What it does not answer stays unanswered. */
export type Script<Host extends HostSide = HostSide> = (request: Request, host: Host) => void;

export function copyOf(request: Request): Request {
  return Object.assign(Object.create(Object.getPrototypeOf(request)), request);
}
