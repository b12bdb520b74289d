import { files } from '../enclave.ts';

/** The part of the protected files' measurements that runs in the enclave: milliseconds, timed inside. */

const ITEM_BYTES = 4096;

export function fill(path: string, bytes: number, chunk: number): number {
  const piece = new Uint8Array(chunk).fill(1);
  const started = performance.now();
  using file = files.open(path, 'w');
  for (let position = 0; position < bytes; position += chunk) file.write(piece, { position });
  file.sync();
  return performance.now() - started;
}

export function readThrough(path: string, bytes: number, chunk: number): number {
  const piece = new Uint8Array(chunk);
  using file = files.open(path);
  const started = performance.now();
  for (let position = 0; position < bytes; position += chunk) file.read(piece, { position });
  return performance.now() - started;
}

export function readAtRandom(path: string, bytes: number, chunk: number, count: number): number {
  const piece = new Uint8Array(chunk);
  using file = files.open(path);
  const slots = bytes / chunk;
  const started = performance.now();
  for (let index = 0; index < count; index++) file.read(piece, { position: (random() % slots) * chunk });
  return performance.now() - started;
}

export function writeAtRandom(path: string, bytes: number, count: number): number {
  const piece = new Uint8Array(ITEM_BYTES).fill(2);
  using file = files.open(path, 'r+');
  const slots = bytes / ITEM_BYTES;
  const started = performance.now();
  for (let index = 0; index < count; index++) {
    file.write(piece, { position: (random() % slots) * ITEM_BYTES });
  }
  file.sync();
  return performance.now() - started;
}

export function createFiles(folder: string, count: number): number {
  const bytes = new Uint8Array(100).fill(3);
  const started = performance.now();
  for (let index = 0; index < count; index++) {
    using file = files.open(`${folder}/small ${index}`, 'w');
    file.write(bytes);
  }
  return performance.now() - started;
}

export function statFiles(folder: string, count: number): number {
  const started = performance.now();
  for (let index = 0; index < count; index++) files.stat(`${folder}/small ${index}`);
  return performance.now() - started;
}

export function unlinkFiles(folder: string, count: number): number {
  const started = performance.now();
  for (let index = 0; index < count; index++) files.unlink(`${folder}/small ${index}`);
  return performance.now() - started;
}

let state = 1;

/** The same places in every run. */
function random(): number {
  state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
  return state >>> 8;
}
