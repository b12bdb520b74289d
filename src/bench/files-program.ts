import { files } from '../enclave.ts';

/** Times reads of a file, inside the enclave. Each returns milliseconds for all of them. */

/** Pages anywhere in the file, one at a time. */
export function oneAtATime(path: string, fileBytes: number, readBytes: number, reads: number): number {
  using file = files.open(path);
  const buffer = new Uint8Array(readBytes);
  const pages = fileBytes / readBytes;
  const began = performance.now();
  for (let read = 0; read < reads; read++) {
    file.read(buffer, { position: Math.floor(Math.random() * pages) * readBytes });
  }
  return performance.now() - began;
}

/** Pages anywhere in the file, `depth` at once. */
export async function atOnce(
  path: string,
  fileBytes: number,
  readBytes: number,
  reads: number,
  depth: number,
): Promise<number> {
  using file = files.open(path);
  const buffers = Array.from({ length: depth }, () => new Uint8Array(readBytes));
  const pages = fileBytes / readBytes;
  const began = performance.now();
  for (let read = 0; read < reads; read += depth) {
    await Promise.all(
      buffers.map((buffer) =>
        file.readAsync(buffer, { position: Math.floor(Math.random() * pages) * readBytes }),
      ),
    );
  }
  return performance.now() - began;
}

/** The file from its start, again and again if it is short. */
export function inSequence(path: string, fileBytes: number, readBytes: number, reads: number): number {
  using file = files.open(path);
  const buffer = new Uint8Array(readBytes);
  const began = performance.now();
  for (let read = 0; read < reads; read++) file.read(buffer, { position: (read * readBytes) % fileBytes });
  return performance.now() - began;
}
