import * as fs from 'node:fs';
import type * as program from './protected-files-program.ts';

/** What the program does, on `node:fs`: unprotected, without an enclave. */

const ITEM_BYTES = 4096;

export const nodeFiles: typeof program = {
  fill(path, bytes, chunk) {
    const piece = new Uint8Array(chunk).fill(1);
    const started = performance.now();
    const file = fs.openSync(path, 'w');
    for (let position = 0; position < bytes; position += chunk) fs.writeSync(file, piece, 0, chunk, position);
    fs.fsyncSync(file);
    fs.closeSync(file);
    return performance.now() - started;
  },

  readThrough(path, bytes, chunk) {
    const piece = new Uint8Array(chunk);
    const file = fs.openSync(path, 'r');
    const started = performance.now();
    for (let position = 0; position < bytes; position += chunk) fs.readSync(file, piece, 0, chunk, position);
    const elapsed = performance.now() - started;
    fs.closeSync(file);
    return elapsed;
  },

  readAtRandom(path, bytes, chunk, count) {
    const piece = new Uint8Array(chunk);
    const file = fs.openSync(path, 'r');
    const slots = bytes / chunk;
    const started = performance.now();
    for (let index = 0; index < count; index++)
      fs.readSync(file, piece, 0, chunk, (random() % slots) * chunk);
    const elapsed = performance.now() - started;
    fs.closeSync(file);
    return elapsed;
  },

  writeAtRandom(path, bytes, count) {
    const piece = new Uint8Array(ITEM_BYTES).fill(2);
    const file = fs.openSync(path, 'r+');
    const slots = bytes / ITEM_BYTES;
    const started = performance.now();
    for (let index = 0; index < count; index++) {
      fs.writeSync(file, piece, 0, ITEM_BYTES, (random() % slots) * ITEM_BYTES);
    }
    fs.fsyncSync(file);
    const elapsed = performance.now() - started;
    fs.closeSync(file);
    return elapsed;
  },

  createFiles(folder, count) {
    const bytes = new Uint8Array(100).fill(3);
    const started = performance.now();
    for (let index = 0; index < count; index++) {
      const file = fs.openSync(`${folder}/small ${index}`, 'w');
      fs.writeSync(file, bytes);
      fs.closeSync(file);
    }
    return performance.now() - started;
  },

  statFiles(folder, count) {
    const started = performance.now();
    for (let index = 0; index < count; index++) fs.statSync(`${folder}/small ${index}`);
    return performance.now() - started;
  },

  unlinkFiles(folder, count) {
    const started = performance.now();
    for (let index = 0; index < count; index++) fs.unlinkSync(`${folder}/small ${index}`);
    return performance.now() - started;
  },
};

let state = 1;

function random(): number {
  state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
  return state >>> 8;
}
