import { constants } from 'node:os';
import { canonicalHost } from '../boundary/grants.ts';
import { ADDRESSES_MAX, LookupFamily } from '../boundary/names.ts';
import type { Request } from '../boundary/ring.ts';
import { copyMemory } from '../linux/memory.ts';
import { ADDRESS_RECORD_BYTES } from '../linux/names.ts';
import { decodeSocketAddress } from '../linux/socket-address.ts';
import { Structure } from '../linux/structure.ts';
import { Blocking, textAt } from './blocking.ts';
import { BlockingCall, type Convert } from './blocking-call.ts';
import type { Executor } from './executor.ts';

const { EACCES, EINVAL } = constants.errno;
const families: ReadonlySet<number> = new Set(Object.values(LookupFamily));
const records = new Structure(ADDRESSES_MAX * ADDRESS_RECORD_BYTES);

/** Payload: a name, of a1 bytes; it receives a record for each address. a0: of which family. */
export function lookup(executor: Executor, request: Request): void {
  const { a0, a1, id, length } = request;
  if (!executor.grants.names) return executor.complete(id, -EACCES);
  const text = a1 <= length ? textAt(executor.address(request.payload), a1) : undefined;
  const name = text === undefined ? undefined : canonicalHost(text);
  if (name === undefined || !families.has(a0) || length > records.bytes.length) {
    return executor.complete(id, -EINVAL);
  }
  const call = { operation: Blocking.lookup, first: a1, second: a0 };
  executor.block(new BlockingCall(executor, request, call, undefined, remembering(name)));
}

/** Keeps what a name stands for, if the enclave may connect to the name. */
function remembering(name: string): Convert {
  return (executor, result, address) => {
    const granted = executor.grants.connect.some(
      (grant) => grant.transport !== 'unix' && grant.host === name,
    );
    if (granted) executor.resolve(name, addressesAt(address, result));
    return result;
  };
}

function addressesAt(address: number, length: number): string[] {
  copyMemory(records.address, address, length);
  const addresses: string[] = [];
  for (let start = 0; start < length; start += ADDRESS_RECORD_BYTES) {
    const bytes = records.bytes.subarray(start + 4, start + ADDRESS_RECORD_BYTES);
    const decoded = decodeSocketAddress(bytes, records.view.getUint32(start, true));
    if (decoded !== undefined && decoded.family !== 'unix') addresses.push(decoded.address);
  }
  return addresses;
}
