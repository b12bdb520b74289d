import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { NodeBlockFile } from '../src/cli/node-block-file.ts';
import { cacheBytes, Frames } from '../src/enclave/protected/frames.ts';
import { ProtectedMount } from '../src/enclave/protected/mount.ts';
import { createSlotMemory } from '../src/enclave/protected/slots.ts';
import { addressOf } from '../src/linux/ffi.ts';

const PIECE_BYTES = 1_048_576;
/** Code is compiled for the process, not for a file: so much of it runs before. */
const WARM_UP_BYTES = 256 * PIECE_BYTES;
const COLLECTIONS = 10;
const PAUSE_MILLISECONDS = 20;
const GIGABYTE = 1_000_000_000;

export interface MemoryUse {
  readonly fileBytes: number;
  /** Private memory of the buffer cache, its books included. */
  readonly cacheBytes: number;
  /** What else the mount needs once the file was written and read: bookkeeping of the store, and objects. */
  readonly beyondCacheBytes: number;
}

/**
 * Writes a file of so many bytes in a protected mount, syncs, reads it, and says what memory that took. It takes as
 * much room on the disk of `folder` meanwhile.
 */
export function measureMemory(fileBytes: number, cacheBlocks: number, folder: string = tmpdir()): MemoryUse {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const root = mkdtempSync(join(folder, 'sgxio-memory-'));
  try {
    const bytes = new Uint8Array(cacheBytes(cacheBlocks));
    const slots = createSlotMemory();
    const frames = new Frames({ address: addressOf(bytes), bytes });
    const key = new Uint8Array(32);
    using mount = ProtectedMount.create(new NodeBlockFile(join(root, 'store'), 'wx+'), {
      key,
      path: root,
      frames,
      slots,
    });
    const used = (): number => Math.min(...Array.from({ length: COLLECTIONS }, () => usedNow(collect)));
    fillAndRead(mount, '/warm-up', WARM_UP_BYTES);
    const before = used();
    fillAndRead(mount, '/file', fileBytes);
    return {
      fileBytes,
      cacheBytes: bytes.length,
      beyondCacheBytes: Math.max(0, used() - before) + slots.byteLength,
    };
  } finally {
    rmSync(root, { recursive: true });
  }
}

/** Buffers that were collected are given back by another thread, a little later. */
function usedNow(collect: () => void): number {
  collect();
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MILLISECONDS);
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function fillAndRead(mount: ProtectedMount, path: string, bytes: number): void {
  const piece = new Uint8Array(PIECE_BYTES).fill(1);
  using file = mount.open(path, 'w+');
  for (let position = 0; position < bytes; position += PIECE_BYTES) {
    file.write(piece.subarray(0, Math.min(PIECE_BYTES, bytes - position)), { position });
  }
  file.sync();
  for (let position = 0; position < bytes; position += PIECE_BYTES) file.read(piece, { position });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [gigabytes = '10', folder] = process.argv.slice(2);
  console.log(JSON.stringify(measureMemory(Number(gigabytes) * GIGABYTE, 2048, folder)));
}
