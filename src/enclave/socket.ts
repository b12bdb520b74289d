import { constants } from 'node:os';
import { CallKind } from '../boundary/kinds.ts';
import { AddressOf, SocketOptionCode } from '../boundary/net.ts';
import { InvalidArgumentError } from '../errors.ts';
import {
  AF_UNIX,
  decodeSocketAddress,
  SOCKET_ADDRESS_BYTES_MAX,
  type SocketAddress,
} from '../linux/socket-address.ts';
import { ADDRESS_ROOM } from './endpoint.ts';
import { Open } from './open.ts';
import { runtime } from './runtime.ts';
import {
  type AsyncCallOptions,
  type CallOptions,
  callAsync,
  callSync,
  Direction,
  failure,
  type Transfer,
} from './transfer.ts';

/** Bytes of a socket's buffer: the kernel takes no more than it is set to allow, whatever is asked. */
const BUFFER_BYTES_MAX = 0x3fff_ffff;

/** What every socket has. Addresses are told by the host: not to be trusted with a decision. */
export abstract class SocketHandle extends Open {
  /** Where it is bound. */
  localAddress(options?: CallOptions): SocketAddress {
    const call = this.#asking(AddressOf.local);
    return addressIn(call.view, callSync(call, options));
  }

  async localAddressAsync(options?: AsyncCallOptions): Promise<SocketAddress> {
    const call = this.#asking(AddressOf.local);
    return addressIn(call.view, await callAsync(call, options));
  }

  /** Whom it is connected to. */
  peerAddress(options?: CallOptions): SocketAddress {
    const call = this.#asking(AddressOf.peer);
    return addressIn(call.view, callSync(call, options));
  }

  async peerAddressAsync(options?: AsyncCallOptions): Promise<SocketAddress> {
    const call = this.#asking(AddressOf.peer);
    return addressIn(call.view, await callAsync(call, options));
  }

  #asking(whose: number): Transfer & { view: Uint8Array<ArrayBuffer> } {
    return {
      kind: CallKind.address,
      handle: this.handle,
      view: new Uint8Array(ADDRESS_ROOM),
      length: SOCKET_ADDRESS_BYTES_MAX,
      direction: Direction.in,
      a0: whose,
    };
  }

  /** Bytes that the kernel keeps for this socket until they are received. */
  setReceiveBufferSize(bytes: number): void {
    this.setOption(SocketOptionCode.receiveBuffer, wholeNumber(bytes, 1, BUFFER_BYTES_MAX, 'buffer size'));
  }

  /** Bytes that the kernel keeps for this socket until they are sent. */
  setSendBufferSize(bytes: number): void {
    this.setOption(SocketOptionCode.sendBuffer, wholeNumber(bytes, 1, BUFFER_BYTES_MAX, 'buffer size'));
  }

  protected setOption(code: number, value: number): void {
    callSync({ kind: CallKind.setOption, handle: this.handle, a0: code, a1: value });
  }
}

export function wholeNumber(value: number, minimum: number, maximum: number, what: string): number {
  if (Number.isInteger(value) && value >= minimum && value <= maximum) return value;
  throw new InvalidArgumentError(`a ${what} is a whole number from ${minimum} to ${maximum}, not ${value}`);
}

/** The address that a call of this result left in `view`. */
export function addressIn(view: Uint8Array<ArrayBuffer>, length: number): SocketAddress {
  const address = decodeSocketAddress(view, length);
  if (address !== undefined) return address;
  // A peer may have bound itself to bytes that are no text; its host is honest all the same.
  if (length > 2 && view[0] === AF_UNIX && view[1] === 0) {
    throw failure(CallKind.address, -constants.errno.EINVAL, 'the path of the socket is no text');
  }
  return runtime().calls.violate('the host gave an address that is none');
}
