import { createHash } from 'node:crypto';
import { type BufferOptions, buffers } from '../../src/enclave.ts';

/** What the tests of copies run inside. */

export function hash(handle: number): string {
  return buffers.use(handle, (bytes) => createHash('sha256').update(bytes).digest('hex'));
}

export function create(options: BufferOptions): number {
  return buffers.create(options);
}

export function free(handle: number): void {
  buffers.free(handle);
}

export function count(): number {
  return buffers.count();
}

export function fill(handle: number, value: number): void {
  buffers.use(handle, (bytes) => bytes.fill(value));
}

export function isZero(handle: number): boolean {
  return buffers.use(handle, (bytes) => bytes.every((byte) => byte === 0));
}

/** Adds one to each byte. */
export function increment(handle: number): void {
  buffers.use(handle, (bytes) => {
    for (let index = 0; index < bytes.length; index++) bytes[index]! += 1;
  });
}

let release = (): void => {};

/** Uses a buffer until `letGo` is launched. */
export async function hold(handle: number): Promise<number> {
  return await buffers.use(handle, async (bytes) => {
    await new Promise<void>((resolve) => {
      release = resolve;
    });
    return bytes[0]!;
  });
}

export function letGo(): void {
  release();
}
