import { PAGE_BYTES } from '../../src/limits.ts';
import { futexWait } from '../../src/linux/events.ts';
import { addressOf } from '../../src/linux/ffi.ts';
import { mapOver } from '../../src/linux/memory.ts';

/** A process that sleeps on the first word of the memory behind descriptor 3 and prints what the wait returned. */
const memory = new Uint8Array(new SharedArrayBuffer(2 * PAGE_BYTES));
const page = Math.ceil(addressOf(memory) / PAGE_BYTES) * PAGE_BYTES;
mapOver(page, PAGE_BYTES, 3);
console.log(futexWait(page, 7, 60_000));
