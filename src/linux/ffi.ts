import { getSystemErrorName } from 'node:util';
import koffi from 'koffi';
import { SystemError } from '../errors.ts';

/**
 * The one door to the foreign function interface. Only files of this room import it.
 *
 * Addresses cross as plain numbers: user space on x64 and arm64 ends below 2^48, so a double holds them
 * exactly, and no BigInt is made on the way.
 */
const libc = koffi.load('libc.so.6');

/** Declares a C function of libc: `declare('int close(int)')`. Synchronous calls only. */
// biome-ignore lint/suspicious/noExplicitAny: the signature is given as text; each caller states its type.
export function declare<F extends (...values: any[]) => unknown>(prototype: string): F {
  return libc.func(prototype) as unknown as F;
}

/** Declares a C function that Node's own executable exports, such as those of its OpenSSL. Throws if it is not there. */
// biome-ignore lint/suspicious/noExplicitAny: as above.
export function declareOfNode<F extends (...values: any[]) => unknown>(prototype: string): F {
  return koffi.load(null).func(prototype) as unknown as F;
}

/** Where the bytes of a view lie. They must not move: a view over an `ArrayBuffer` of more than 64 bytes. */
export function addressOf(view: ArrayBufferView): number {
  return Number(koffi.address(view));
}

/** An `ArrayBuffer` over memory that was mapped by hand; it is valid as long as the mapping is. */
export function viewOf(address: number, bytes: number): ArrayBuffer {
  return koffi.view(BigInt(address), bytes);
}

/** `errno` of the last call that failed on this thread, positive. */
export function lastErrno(): number {
  return koffi.errno();
}

/** What the kernel itself returned, before libc split it in two: `result`, or `-errno` when it is negative. */
export function negativeErrno(result: number): number {
  return result >= 0 ? result : -koffi.errno();
}

/** Passes `result` on, or throws what `errno` says when it is negative. */
export function check(result: number, syscall: string, detail = ''): number {
  if (result >= 0) return result;
  throw systemError(lastErrno(), syscall, detail);
}

export function systemError(errno: number, syscall: string, detail = ''): SystemError {
  return new SystemError(getSystemErrorName(-errno), -errno, syscall, detail);
}
