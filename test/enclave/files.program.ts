import { files } from '../../src/enclave.ts';

export { run, runTogether } from '../support/calls.program.ts';

/** How many entries a directory has, and how many of their names differ. */
export async function countEntries(path: string, asynchronous: boolean): Promise<[number, number]> {
  const names: string[] = [];
  if (asynchronous) for await (const { name } of await files.openDirectoryAsync(path)) names.push(name);
  else for (const { name } of files.openDirectory(path)) names.push(name);
  return [names.length, new Set(names).size];
}

/** What is refused at the call, by the message of each error. */
export function misuse(path: string): Record<string, string> {
  const file = files.open(path, 'r+');
  const room = new Uint8Array(8);
  const shared = new Uint8Array(new SharedArrayBuffer(8)) as unknown as Uint8Array<ArrayBuffer>;
  const tried: Record<string, () => unknown> = {
    'position -1': () => file.read(room, { position: -1 }),
    'position 2^53': () => file.read(room, { position: 2 ** 53 }),
    'position 0.5': () => file.write(room, { position: 0.5 }),
    'length -1': () => file.truncate(-1),
    'length 2^53': () => file.truncate(2 ** 53),
    'shared read': () => file.read(shared),
    'shared write': () => file.write(shared),
    'shared vector': () => file.readVectors([room, shared]),
    'a text': () => file.write('text' as unknown as Uint8Array<ArrayBuffer>),
    'mode 2^31': () => file.chmod(2 ** 31),
    'mode -1': () => files.mkdir(`${path}-directory`, { mode: -1 }),
    'no timeout': () => file.read(room, { timeout: Number.NaN }),
    flags: () => files.open(path, 'q' as files.OpenFlags),
    'zero byte': () => files.stat(`${path}\0`),
    'dot dot': () => files.stat('/data/../etc/passwd'),
    'a relative path': () => files.stat('data'),
    'outside the mounts': () => files.stat('/etc/passwd'),
    'write below a mount for reading': () => files.mkdir('/fixed/directory'),
    'no well-formed text': () => files.stat('/data/\ud800'),
    'closed twice, then used': () => {
      file.close();
      file.close();
      file.read(room);
    },
  };
  return Object.fromEntries(Object.entries(tried).map(([name, call]) => [name, codeOf(call)]));
}

function codeOf(call: () => unknown): string {
  try {
    call();
    return 'nothing thrown';
  } catch (error) {
    return String((error as { code?: unknown }).code);
  }
}

/** Aborts a call right after it was started. */
export async function abortRead(path: string): Promise<string> {
  const file = files.open(path);
  const controller = new AbortController();
  const reading = file.readAsync(new Uint8Array(8), { signal: controller.signal });
  controller.abort();
  const code = await reading.then(String, (error: { code: string }) => error.code);
  await file.closeAsync();
  return code;
}

/** Waits for a lock that another holds until told that it was released by then. */
export async function waitForLock(path: string, timeout: number): Promise<string> {
  using file = files.open(path, 'r+');
  try {
    await file.lockAsync({ timeout });
    return 'locked';
  } catch (error) {
    return (error as { code: string }).code;
  }
}

/** Writes until the disk is full; then what it takes once there is room again. */
export function fillDisk(path: string): [written: number, code: string, again: number] {
  using file = files.open(path, 'w');
  const block = new Uint8Array(10_000);
  let written = 0;
  let code = 'endless';
  for (let round = 0; round < 1000 && code === 'endless'; round++) {
    try {
      written += file.write(block);
    } catch (error) {
      code = (error as { code: string }).code;
    }
  }
  file.truncate(0);
  return [written, code, file.write(block, { position: 0 })];
}

/**
 * Opens files until the host has no descriptors left, and makes a call that may wait for a disk; then whether closing
 * one makes room for one.
 */
export function exhaustDescriptors(path: string): [code: string, again: boolean] {
  const opened: files.File[] = [];
  let code = 'endless';
  while (opened.length < 1000 && code === 'endless') {
    try {
      opened.push(files.open(path));
    } catch (error) {
      code = (error as { code: string }).code;
    }
  }
  opened[0]?.sync();
  opened.pop()?.close();
  opened.push(files.open(path));
  const again = opened.every((file) => file.stat().isFile());
  for (const file of opened) file.close();
  return [code, again];
}
