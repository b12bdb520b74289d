import { randomFillSync } from 'node:crypto';
import { FileTamperedError } from '../../errors.ts';
import type { BlockFile } from './block-file.ts';
import { Word } from './books.ts';
import {
  BLOCK_BYTES,
  FORMAT_VERSION,
  MAGIC,
  MARK_BYTES,
  MOUNT_ID_BYTES,
  ROOT_BYTES,
  ROOT_SLOTS,
  Root,
  RootHeader,
  readNumber,
  writeNumber,
} from './format.ts';
import type { Frames } from './frames.ts';
import { Keys } from './keys.ts';

/** Root records are sealed as if they were blocks of a file of this number, which no file has. */
const ROOT_OWNER = { number: 0xffff_ffff, incarnation: 0 } as const;

/** The root of a mount, in private memory: all that the store holds is checked against it. */
export class RootState {
  readonly #frames: Frames;

  constructor(frames: Frames) {
    this.#frames = frames;
  }

  get transaction(): number {
    return this.#number(Root.transaction);
  }

  set transaction(value: number) {
    this.#setNumber(Root.transaction, value);
  }

  get count(): number {
    return this.#number(Root.count);
  }

  set count(value: number) {
    this.#setNumber(Root.count, value);
  }

  get previousMark(): Uint8Array<ArrayBuffer> {
    const at = this.#frames.root + Root.previousMark;
    return this.#frames.bytes.slice(at, at + MARK_BYTES);
  }

  set previousMark(mark: Uint8Array<ArrayBuffer>) {
    this.#frames.bytes.set(mark, this.#frames.root + Root.previousMark);
  }

  get nextNumber(): number {
    return this.#number(Root.nextNumber);
  }

  set nextNumber(value: number) {
    this.#setNumber(Root.nextNumber, value);
  }

  get firstFree(): number {
    return this.#number(Root.firstFree);
  }

  set firstFree(value: number) {
    this.#setNumber(Root.firstFree, value);
  }

  get end(): number {
    return this.#number(Root.end);
  }

  set end(value: number) {
    this.#setNumber(Root.end, value);
  }

  #number(field: number): number {
    return readNumber(this.#frames.view, this.#frames.root + field);
  }

  #setNumber(field: number, value: number): void {
    writeNumber(this.#frames.view, this.#frames.root + field, value);
  }
}

/** Where the records of a store's roots are, and how each is sealed. */
export class RootRecords {
  readonly keys: Keys;
  readonly #frames: Frames;

  /** Those of a mount whose books are in private memory. */
  constructor(frames: Frames) {
    this.#frames = frames;
    this.keys = new Keys(frames.memory, frames.key, frames.mountKey, frames.mountId);
  }

  /** Those of a new mount: none. */
  static create(frames: Frames, key: Uint8Array<ArrayBuffer>): RootRecords {
    randomFillSync(frames.mountId);
    frames.mountKey.set(key);
    frames.transactions.fill(0);
    frames.newestMark.fill(0);
    return new RootRecords(frames);
  }

  /** Reads all records of a store and leaves the newest root that opens in its place in private memory. */
  static open(frames: Frames, key: Uint8Array<ArrayBuffer>, file: BlockFile, path: string): RootRecords {
    const { staging, bytes } = frames;
    const room = bytes.subarray(staging, staging + ROOT_SLOTS * BLOCK_BYTES);
    room.fill(0, file.read(0, room));
    const { transactions } = frames;
    let best: { at: number; root: Uint8Array<ArrayBuffer>; slot: number } | undefined;
    let named = false;
    for (let slot = 0; slot < ROOT_SLOTS; slot++) {
      const at = staging + slot * BLOCK_BYTES;
      const keys = isNamed(frames, at) ? keysOf(frames, key, at) : undefined;
      named ||= keys !== undefined;
      const transaction = keys !== undefined && openRecord(frames, keys, at) ? transactionOf(frames) : 0;
      keys?.close();
      transactions[slot] = transaction;
      if (transaction > (best === undefined ? 0 : transactions[best.slot]!)) {
        best = { at, slot, root: bytes.slice(frames.root, frames.root + ROOT_BYTES) };
      }
    }
    if (best === undefined) throw noRoot(path, named);
    bytes.set(best.root, frames.root);
    const idAt = best.at + RootHeader.mountId;
    const markAt = best.at + RootHeader.tag;
    frames.mountId.set(bytes.subarray(idAt, idAt + MOUNT_ID_BYTES));
    frames.newestMark.set(bytes.subarray(markAt, markAt + MARK_BYTES));
    frames.mountKey.set(key);
    frames.words[Word.newestRoot] = best.slot;
    return new RootRecords(frames);
  }

  /**
   * Seals the root as it is in private memory. The record is to be written at `position`, over none that a crash may
   * have to bring back.
   */
  seal(transaction: number): {
    slot: number;
    position: number;
    record: Uint8Array<ArrayBuffer>;
    mark: Uint8Array<ArrayBuffer>;
  } {
    const { frames, at } = { frames: this.#frames, at: this.#frames.staging };
    const { bytes, view } = frames;
    const slot = this.#oldest();
    frames.transactions[slot] = transaction;
    bytes.fill(0, at, at + BLOCK_BYTES);
    bytes.set(MAGIC, at + RootHeader.magic);
    view.setUint32(at + RootHeader.version, FORMAT_VERSION, true);
    bytes.set(frames.mountId, at + RootHeader.mountId);
    const nonceAt = at + RootHeader.nonce;
    const cipher = this.keys.forSealing(ROOT_OWNER, transaction, nonceAt);
    cipher.seal(nonceAt, frames.root, ROOT_BYTES, at + RootHeader.bytes, at + RootHeader.tag);
    const tagAt = at + RootHeader.tag;
    return {
      slot,
      position: slot * BLOCK_BYTES,
      record: bytes.slice(at, at + BLOCK_BYTES),
      mark: bytes.slice(tagAt, tagAt + MARK_BYTES),
    };
  }

  /** The record in that slot is on its way, or -1: none is. */
  set inFlight(slot: number) {
    this.#frames.words[Word.rootInFlight] = slot;
  }

  /** The record in that slot is the newest that the store has. */
  written(slot: number, mark: Uint8Array<ArrayBuffer>): void {
    this.#frames.words[Word.newestRoot] = slot;
    this.#frames.newestMark.set(mark);
  }

  #oldest(): number {
    const { words, transactions } = this.#frames;
    let oldest = -1;
    for (let slot = 0; slot < ROOT_SLOTS; slot++) {
      if (slot === words[Word.newestRoot] || slot === words[Word.rootInFlight]) continue;
      if (oldest < 0 || transactions[slot]! < transactions[oldest]!) oldest = slot;
    }
    return oldest;
  }
}

function isNamed({ bytes, view }: Frames, at: number): boolean {
  return (
    MAGIC.every((byte, index) => bytes[at + RootHeader.magic + index] === byte) &&
    view.getUint32(at + RootHeader.version, true) === FORMAT_VERSION
  );
}

function keysOf({ memory, bytes, key: scratch }: Frames, key: Uint8Array<ArrayBuffer>, at: number): Keys {
  const mountId = bytes.slice(at + RootHeader.mountId, at + RootHeader.mountId + MOUNT_ID_BYTES);
  return new Keys(memory, scratch, key, mountId);
}

function openRecord({ root, bytes }: Frames, keys: Keys, at: number): boolean {
  const nonceAt = at + RootHeader.nonce;
  const cipher = keys.forOpening(ROOT_OWNER, nonceAt);
  if (cipher.open(nonceAt, at + RootHeader.bytes, ROOT_BYTES, root, at + RootHeader.tag)) return true;
  bytes.fill(0, root, root + ROOT_BYTES);
  return false;
}

function transactionOf({ view, root }: Frames): number {
  return readNumber(view, root + Root.transaction);
}

function noRoot(path: string, named: boolean): FileTamperedError {
  return new FileTamperedError(
    path,
    -1,
    named
      ? 'no root record opens: the key is another one, or the store was damaged'
      : `it is no protected mount of format ${FORMAT_VERSION}, or was damaged: create one with 'sgxio files init'`,
  );
}
