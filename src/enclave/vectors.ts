import { InvalidArgumentError } from '../errors.ts';
import { VECTORS_MAX } from '../limits.ts';
import { requirePrivate } from './transfer.ts';

/** Several buffers as one: the boundary carries one stretch of bytes a call. */
type Bytes = Uint8Array<ArrayBuffer>;

export function totalLength(buffers: readonly Bytes[]): number {
  if (!Array.isArray(buffers) || buffers.length > VECTORS_MAX) {
    throw new InvalidArgumentError(`vectors are an array of at most ${VECTORS_MAX} buffers`);
  }
  let total = 0;
  for (const buffer of buffers) {
    requirePrivate(buffer);
    total += buffer.length;
  }
  return total;
}

export function gather(buffers: readonly Bytes[]): Bytes {
  const whole = new Uint8Array(totalLength(buffers));
  let start = 0;
  for (const buffer of buffers) {
    whole.set(buffer, start);
    start += buffer.length;
  }
  return whole;
}

/** Spreads the first `length` bytes over the buffers, and says how many they are. */
export function scatter(whole: Bytes, length: number, buffers: readonly Bytes[]): number {
  let start = 0;
  for (const buffer of buffers) {
    if (start >= length) break;
    buffer.set(whole.subarray(start, Math.min(start + buffer.length, length)));
    start += buffer.length;
  }
  return length;
}
