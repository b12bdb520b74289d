import { closeSync, openSync, read, readSync } from 'node:fs';

/** The reads of files-program.ts, made with `node:fs`. */

export function oneAtATime(path: string, fileBytes: number, readBytes: number, reads: number): number {
  const descriptor = openSync(path, 'r');
  const buffer = new Uint8Array(readBytes);
  const pages = fileBytes / readBytes;
  const began = performance.now();
  for (let count = 0; count < reads; count++) {
    readSync(descriptor, buffer, 0, readBytes, Math.floor(Math.random() * pages) * readBytes);
  }
  const milliseconds = performance.now() - began;
  closeSync(descriptor);
  return milliseconds;
}

export async function atOnce(
  path: string,
  fileBytes: number,
  readBytes: number,
  reads: number,
  depth: number,
): Promise<number> {
  const descriptor = openSync(path, 'r');
  const buffers = Array.from({ length: depth }, () => new Uint8Array(readBytes));
  const pages = fileBytes / readBytes;
  const began = performance.now();
  for (let count = 0; count < reads; count += depth) {
    await Promise.all(
      buffers.map((buffer) => readAsync(descriptor, buffer, Math.floor(Math.random() * pages) * readBytes)),
    );
  }
  const milliseconds = performance.now() - began;
  closeSync(descriptor);
  return milliseconds;
}

function readAsync(descriptor: number, buffer: Uint8Array, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    read(descriptor, buffer, 0, buffer.length, position, (error, count) =>
      error === null ? resolve(count) : reject(error),
    );
  });
}

export function inSequence(path: string, fileBytes: number, readBytes: number, reads: number): number {
  const descriptor = openSync(path, 'r');
  const buffer = new Uint8Array(readBytes);
  const began = performance.now();
  for (let count = 0; count < reads; count++) {
    readSync(descriptor, buffer, 0, readBytes, (count * readBytes) % fileBytes);
  }
  const milliseconds = performance.now() - began;
  closeSync(descriptor);
  return milliseconds;
}
