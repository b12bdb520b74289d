import { files, sleepAsync } from '../../../src/enclave.ts';

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** An ordinary program: it does not know whether its mount is protected. */
export function put(path: string, text: string): void {
  using file = files.open(path, 'w');
  file.write(encoder.encode(text));
  file.sync();
}

export function get(path: string): string {
  using file = files.open(path);
  const bytes = new Uint8Array(file.stat().size);
  return decoder.decode(bytes.subarray(0, file.read(bytes)));
}

export async function putAsync(path: string, text: string): Promise<void> {
  const file = await files.openAsync(path, 'w');
  await file.writeAsync(encoder.encode(text));
  await file.syncAsync();
  await file.closeAsync();
}

export async function getAsync(path: string): Promise<string> {
  const file = await files.openAsync(path);
  const bytes = new Uint8Array((await file.statAsync()).size);
  const count = await file.readAsync(bytes);
  await file.closeAsync();
  return decoder.decode(bytes.subarray(0, count));
}

/** Fills a file with bytes that tell where they belong, and reads it in order, in one way and in the other. */
export async function scan(path: string, bytes: number, chunk: number): Promise<string> {
  using file = files.open(path, 'w+');
  const whole = new Uint8Array(bytes).map((_, index) => index % 251);
  file.write(whole, { position: 0 });
  const seen = new Uint8Array(bytes);
  for (const way of ['sync', 'async']) {
    seen.fill(0);
    for (let position = 0; position < bytes; position += chunk) {
      const part = seen.subarray(position, position + chunk);
      const read = way === 'sync' ? file.read(part, { position }) : await file.readAsync(part, { position });
      if (read !== part.length) return `${way}: ${read} bytes at ${position}`;
    }
    const wrong = seen.findIndex((byte, index) => byte !== index % 251);
    if (wrong >= 0) return `${way}: byte ${wrong}`;
  }
  return 'right';
}

/** All calls that name paths, in one run; says what is left. */
export async function names(root: string): Promise<string[]> {
  files.mkdir(`${root}/a`);
  await files.mkdirAsync(`${root}/b`);
  put(`${root}/a/x`, 'x');
  files.rename(`${root}/a/x`, `${root}/b/y`);
  await files.renameAsync(`${root}/b/y`, `${root}/b/z`);
  files.chmod(`${root}/b/z`, 0o640);
  files.setTimes(`${root}/b/z`, { modified: 1000 });
  files.rmdir(`${root}/a`);
  const status = await files.statAsync(`${root}/b/z`);
  const listed = files.readdir(`${root}/b`).map(({ name, type }) => `${name} ${type}`);
  for await (const { name } of await files.openDirectoryAsync(root)) listed.push(name);
  return [...listed.sort(), `${status.size} ${status.mode & 0o777} ${status.mtimeMs} ${status.isFile()}`];
}

/** The code of the error that a call ends with. */
export function refused(
  call: 'link' | 'symlink' | 'readlink' | 'rename' | 'stat',
  from: string,
  to = '',
): string {
  try {
    files[call](from, to as never);
    return 'nothing thrown';
  } catch (error) {
    return String((error as { code?: unknown }).code);
  }
}

/** Writes and syncs without end, so that it can be killed at any moment. */
export async function writeOnAndOn(path: string, bytes: number): Promise<void> {
  for (let round = 1; ; round++) {
    const file = await files.openAsync(path, 'w');
    await file.writeAsync(new Uint8Array(bytes).fill(round % 251));
    await file.syncAsync();
    await file.closeAsync();
  }
}

export function reopen(path: string): string {
  const file = files.open(path);
  const bytes = new Uint8Array(file.stat().size);
  file.read(bytes);
  return bytes.every((byte) => byte === bytes[0]) ? 'whole' : 'torn';
}

/** Writes without a sync. */
export function write(path: string, text: string): void {
  using file = files.open(path, 'w');
  file.write(encoder.encode(text));
}

let held: files.File | undefined;

/** Locks a file until {@link letGo}. */
export function hold(path: string): void {
  held = files.open(path, 'r+');
  held.lock();
}

export async function letGo(milliseconds: number): Promise<void> {
  await sleepAsync(milliseconds);
  held?.close();
}

/** Waits for the lock on the thread and says what came of it. */
export function waitFor(path: string, timeout: number): string {
  using file = files.open(path, 'r+');
  try {
    file.lock({ timeout });
    return 'locked';
  } catch (error) {
    return String((error as { code?: unknown }).code);
  }
}

/** Adds one to a number in a file so many times, and makes each change durable. */
export function addUnderLock(path: string, times: number): void {
  for (let round = 0; round < times; round++) {
    using file = files.open(path, 'a+');
    file.lock();
    const number = Number(get(path)) + 1;
    put(path, String(number));
    file.unlock();
  }
}

/** With a key of its own, on this thread. */
export function protectWith(mount: string, byte: number): string {
  try {
    files.protect(mount, { key: new Uint8Array(32).fill(byte) });
    return 'open';
  } catch (error) {
    return String((error as Error).message);
  }
}
