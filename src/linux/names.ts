import { constants } from 'node:os';
import { declare, negativeErrno, viewOf } from './ffi.ts';
import { copyMemory } from './memory.ts';
import { AF_INET, AF_INET6 } from './socket-address.ts';
import { SOCK_STREAM } from './sockets.ts';
import { Structure } from './structure.ts';

const getaddrinfo: (name: string, service: null, hints: number, result: number) => number = declare(
  'int getaddrinfo(const char *, const char *, uintptr_t, uintptr_t)',
);
const freeaddrinfo: (list: number) => void = declare('void freeaddrinfo(uintptr_t)');

const { EAGAIN, EIO, ENOENT, ENOMEM } = constants.errno;

/** `struct addrinfo`, the same on x64 and arm64. */
const INFORMATION_BYTES = 48;
const FAMILY_OFFSET = 4;
const TYPE_OFFSET = 8;
const LENGTH_OFFSET = 16;
const ADDRESS_OFFSET = 24;
const NEXT_OFFSET = 40;

/** What getaddrinfo(3) fails with, as the error that says the same. */
const ERRORS: ReadonlyMap<number, number> = new Map([
  [-2, ENOENT],
  [-3, EAGAIN],
  [-5, ENOENT],
  [-10, ENOMEM],
]);
const EAI_SYSTEM = -11;

/** One address: the length of its `sockaddr`, a word, and then the `sockaddr`. */
export const ADDRESS_RECORD_BYTES = 32;

const hints = new Structure(INFORMATION_BYTES);
const list = new Structure(8);

/**
 * Asks the system's resolver for the addresses of a name, of family 4, 6 or (0) either, and waits for it. Writes at
 * most `length` bytes of records at `into` and returns how many; `-ENOENT` when there are none, `-EAGAIN` when
 * the resolver cannot tell now.
 */
export function resolveName(name: string, family: number, into: number, length: number): number {
  hints.view.setInt32(FAMILY_OFFSET, family === 4 ? AF_INET : family === 6 ? AF_INET6 : 0, true);
  hints.view.setInt32(TYPE_OFFSET, SOCK_STREAM, true);
  const result = getaddrinfo(name, null, hints.address, list.address);
  if (result === EAI_SYSTEM) return negativeErrno(-1);
  if (result !== 0) return -(ERRORS.get(result) ?? EIO);
  const first = list.get64(0);
  const written = copyRecords(first, into, length);
  freeaddrinfo(first);
  return written === 0 ? -ENOENT : written;
}

function copyRecords(first: number, into: number, length: number): number {
  const record = new Structure(ADDRESS_RECORD_BYTES);
  let written = 0;
  for (let at = first; at !== 0 && written + ADDRESS_RECORD_BYTES <= length; ) {
    const information = new DataView(viewOf(at, INFORMATION_BYTES));
    const addressLength = information.getUint32(LENGTH_OFFSET, true);
    if (addressLength <= ADDRESS_RECORD_BYTES - 4) {
      record.view.setUint32(0, addressLength, true);
      copyMemory(record.address + 4, pointerAt(information, ADDRESS_OFFSET), addressLength);
      copyMemory(into + written, record.address, ADDRESS_RECORD_BYTES);
      written += ADDRESS_RECORD_BYTES;
    }
    at = pointerAt(information, NEXT_OFFSET);
  }
  return written;
}

function pointerAt(view: DataView, offset: number): number {
  return view.getUint32(offset, true) + view.getUint32(offset + 4, true) * 2 ** 32;
}
