import type { BlockFile, StartedRead, StartedWrite } from '../../../src/enclave/protected/block-file.ts';
import { cacheBytes, Frames } from '../../../src/enclave/protected/frames.ts';
import { type MountOptions, ProtectedMount } from '../../../src/enclave/protected/mount.ts';
import { addressOf } from '../../../src/linux/ffi.ts';

type Bytes = Uint8Array<ArrayBuffer>;

export const BLOCK = 4096;
export const KEY: Bytes = new Uint8Array(32).fill(7);

export function frames(blocks: number): Frames {
  const bytes = new Uint8Array(cacheBytes(blocks));
  return new Frames({ address: addressOf(bytes), bytes });
}

/** A write, or a sync, that a store was asked for. */
export type Step = { readonly position: number; readonly bytes: Bytes } | 'sync';

/** A host's file in memory, which lies, fails and remembers as it is told. */
export class HostFile implements BlockFile {
  #room: Bytes;
  #size: number;
  /** All that it was asked for, when it is to remember. */
  journal: Step[] | undefined;
  /** Called before each access; what it throws is what the host answers. */
  beforeRead: ((position: number, length: number) => void) | undefined;
  beforeStartedRead: ((position: number, length: number) => void) | undefined;
  beforeWrite: ((position: number, bytes: Bytes) => void) | undefined;
  beforeSync: (() => void) | undefined;
  reads = 0;
  writes = 0;

  constructor(content: Bytes = new Uint8Array(0)) {
    this.#room = content;
    this.#size = content.length;
  }

  get content(): Bytes {
    return this.#room.subarray(0, this.#size);
  }

  /** Another file with the same content. */
  copy(): HostFile {
    return new HostFile(this.content.slice());
  }

  slot(number: number): Bytes {
    return this.content.subarray(number * BLOCK, (number + 1) * BLOCK);
  }

  size(): number {
    return this.content.length;
  }

  read(position: number, bytes: Bytes): number {
    this.reads++;
    this.beforeRead?.(position, bytes.length);
    const part = this.content.subarray(position, position + bytes.length);
    bytes.set(part);
    return part.length;
  }

  /** Its answer is of the moment at which it was asked: as old as can be. */
  startRead(position: number, length: number): StartedRead {
    this.beforeStartedRead?.(position, length);
    const answer = new Uint8Array(length);
    let failure: unknown;
    let count = 0;
    try {
      count = this.read(position, answer);
    } catch (error) {
      failure = error;
    }
    const started = {
      isDone: false,
      arrived: async () => {
        await pause();
        started.isDone = true;
      },
      finish: (target: Bytes) => {
        if (failure !== undefined) throw failure;
        target.set(answer.subarray(0, count));
        return count;
      },
      drop: () => {},
    };
    return started;
  }

  write(position: number, bytes: Bytes): void {
    this.writes++;
    this.beforeWrite?.(position, bytes);
    this.journal?.push({ position, bytes: bytes.slice() });
    this.put(position, bytes);
  }

  /** It is written as late as can be. */
  startWrite(position: number, bytes: Bytes): StartedWrite {
    return { finish: () => this.write(position, bytes) };
  }

  put(position: number, bytes: Bytes): void {
    const end = position + bytes.length;
    if (end > this.#room.length) {
      const larger = new Uint8Array(2 * end);
      larger.set(this.content);
      this.#room = larger;
    }
    this.#size = Math.max(this.#size, end);
    this.#room.set(bytes, position);
  }

  async writeAsync(position: number, bytes: Bytes): Promise<void> {
    await pause();
    this.write(position, bytes);
  }

  sync(): void {
    this.beforeSync?.();
    this.journal?.push('sync');
  }

  async syncAsync(): Promise<void> {
    await pause();
    this.sync();
  }

  truncate(bytes: number): void {
    this.#room.fill(0, bytes);
    this.#size = bytes;
  }

  close(): void {}
}

/** Others get their turn, some of them several. */
async function pause(): Promise<void> {
  for (let turns = Math.floor(Math.random() * 4); turns > 0; turns--) await Promise.resolve();
}

export function options(more: Partial<MountOptions> & { blocks?: number } = {}): MountOptions {
  const { blocks = 64, ...rest } = more;
  return { key: KEY, path: '/data', frames: frames(blocks), ...rest };
}

export function createMount(
  more: Partial<MountOptions> & { blocks?: number } = {},
  file: HostFile = new HostFile(),
): { mount: ProtectedMount; file: HostFile } {
  return { mount: ProtectedMount.create(file, options(more)), file };
}

export function openMount(
  file: BlockFile,
  more: Partial<MountOptions> & { blocks?: number } = {},
): ProtectedMount {
  return ProtectedMount.open(file, options(more));
}

/** So many bytes that tell where they belong. */
export function pattern(seed: number, length: number): Bytes {
  const bytes = new Uint8Array(length);
  let state = seed * 2654435761 + 1;
  for (let index = 0; index < length; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    bytes[index] = state >>> 24;
  }
  return bytes;
}

export function writeFile(mount: ProtectedMount, path: string, bytes: Bytes): void {
  using file = mount.open(path, 'w');
  file.write(bytes, { position: 0 });
}

export function readFile(mount: ProtectedMount, path: string): Bytes {
  using file = mount.open(path);
  const bytes = new Uint8Array(file.stat().size);
  const count = file.read(bytes, { position: 0 });
  return bytes.subarray(0, count);
}

/** Every file of a mount with its content; directories end in a slash. */
export function snapshot(mount: ProtectedMount, path = ''): Map<string, string> {
  const found = new Map<string, string>();
  for (const { name, type } of mount.readdir(path)) {
    const full = `${path}/${name}`;
    if (type === 'file') {
      found.set(full, Buffer.from(readFile(mount, full)).toString('latin1'));
    } else {
      found.set(`${full}/`, '');
      for (const [inner, content] of snapshot(mount, full)) found.set(inner, content);
    }
  }
  return new Map([...found].sort(([left], [right]) => (left < right ? -1 : 1)));
}

/** Whole numbers below a limit, the same for the same seed (mulberry32). */
export function seededRandom(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit);
  };
}

/** What the store has after a crash: what came before the last sync, and of the rest what chance let through. */
export function crashed(steps: readonly Step[], chance: (limit: number) => number): HostFile {
  const file = new HostFile();
  const synced = steps.lastIndexOf('sync');
  const rest: Exclude<Step, 'sync'>[] = [];
  for (const [index, step] of steps.entries()) {
    if (step === 'sync') continue;
    if (index < synced) file.put(step.position, step.bytes);
    else rest.push(step);
  }
  // Between two syncs the host may write in any order, and of each write some sectors only.
  for (const { position, bytes } of shuffled(rest, chance)) {
    if (chance(2) === 0) continue;
    for (let at = 0; at < bytes.length; at += 512) {
      if (chance(8) !== 0) file.put(position + at, bytes.subarray(at, at + 512));
    }
  }
  return file;
}

function shuffled<Item>(items: readonly Item[], chance: (limit: number) => number): Item[] {
  const left = [...items];
  const order: Item[] = [];
  while (left.length > 0) order.push(...left.splice(chance(left.length), 1));
  return order;
}
