import { InvalidArgumentError } from '../../errors.ts';
import type { SecureHeap } from './heap.ts';
import { ChainedIndex, EntryField, type EntryIndex, OpenIndex } from './map-index.ts';
import { KEY_CODECS, type KeyCodec, KeyHash, type MapKeys } from './map-key.ts';
import type { SecurePointer } from './pointer.ts';

export interface SecureMapOptions<K extends keyof MapKeys> {
  readonly keys: K;
  /** Every value has so many bytes; without it, each its own length. */
  readonly valueBytes?: number;
  /** How entries are found: a table of slots, probed one after the other, or a chain per bucket. */
  readonly index?: 'open' | 'chained';
}

/**
 * A hash table in secure memory of keys and values of any length. Each entry is a block of its own, so an entry that
 * is read costs the page of the index and the page of the entry. For numbers with values of one width there is
 * `SecureNumberMap`, which has both in one page.
 */
export class SecureMap<K extends keyof MapKeys> implements Disposable {
  readonly #heap: SecureHeap;
  readonly #valueBytes: number | undefined;
  readonly #codec: KeyCodec<MapKeys[K]>;
  readonly #hash = new KeyHash();
  readonly #index: EntryIndex;
  /** The heap as a whole: entries are found by their addresses, which nobody else has. */
  readonly #entries: SecurePointer;
  #keyScratch = new Uint8Array(64);
  #size = 0;

  constructor(heap: SecureHeap, options: SecureMapOptions<K>) {
    this.#heap = heap;
    this.#valueBytes = options.valueBytes;
    this.#codec = KEY_CODECS[options.keys] as KeyCodec<MapKeys[K]>;
    this.#entries = heap.whole();
    this.#index = options.index === 'chained' ? new ChainedIndex(heap, this.#entries) : new OpenIndex(heap);
  }

  get size(): number {
    return this.#size;
  }

  has(key: MapKeys[K]): boolean {
    const bytes = this.#codec.encode(key);
    return this.#find(bytes, this.#hash.ofBytes(bytes)) !== 0;
  }

  /** A copy of the value of a key. */
  get(key: MapKeys[K]): Uint8Array<ArrayBuffer> | undefined {
    const bytes = this.#codec.encode(key);
    const address = this.#find(bytes, this.#hash.ofBytes(bytes));
    return address === 0 ? undefined : this.#valueAt(address);
  }

  set(key: MapKeys[K], value: Uint8Array<ArrayBuffer>): void {
    if (this.#valueBytes !== undefined && value.length !== this.#valueBytes) {
      throw new InvalidArgumentError(
        `a value of this map has ${this.#valueBytes} bytes, not ${value.length}`,
      );
    }
    const bytes = this.#codec.encode(key);
    const hash = this.#hash.ofBytes(bytes);
    const address = this.#find(bytes, hash);
    if (address !== 0) {
      if (this.#entries.getUint32(address + EntryField.valueLength) === value.length) {
        this.#entries.write(address + EntryField.key + bytes.length, value);
        return;
      }
    }
    // The new entry comes first, so that a full store leaves the old one where it is.
    using entry = this.#heap.alloc(EntryField.key + bytes.length + value.length);
    entry.setUint32(EntryField.hash, hash);
    entry.setUint32(EntryField.keyLength, bytes.length);
    entry.setUint32(EntryField.valueLength, value.length);
    entry.write(EntryField.key, bytes);
    entry.write(EntryField.key + bytes.length, value);
    entry.unlink();
    if (address !== 0) this.#remove(hash, address);
    try {
      this.#index.insert(hash, entry.address, this.#size);
    } catch (error) {
      this.#heap.free(entry);
      throw error;
    }
    this.#size++;
  }

  delete(key: MapKeys[K]): boolean {
    const bytes = this.#codec.encode(key);
    const hash = this.#hash.ofBytes(bytes);
    const address = this.#find(bytes, hash);
    if (address === 0) return false;
    this.#remove(hash, address);
    return true;
  }

  /** Copies of every key and value, in no order. The map must not change meanwhile. */
  *entries(): Generator<[key: MapKeys[K], value: Uint8Array<ArrayBuffer>]> {
    for (const address of this.#index.addresses()) {
      const key = new Uint8Array(this.#entries.getUint32(address + EntryField.keyLength));
      this.#entries.read(address + EntryField.key, key);
      yield [this.#codec.decode(key), this.#valueAt(address)];
    }
  }

  [Symbol.iterator](): Generator<[key: MapKeys[K], value: Uint8Array<ArrayBuffer>]> {
    return this.entries();
  }

  unlink(): void {
    this.#entries.unlink();
    this.#index.unlink();
  }

  /** Frees every entry and the index. */
  free(): void {
    for (const address of this.#index.addresses()) this.#free(address);
    this.#index.free();
    this.#size = 0;
  }

  [Symbol.dispose](): void {
    this.free();
  }

  #remove(hash: number, address: number): void {
    this.#index.remove(hash, address);
    this.#free(address);
    this.#size--;
  }

  #free(address: number): void {
    this.#entries.unlink();
    this.#heap.free(this.#heap.pointer(address));
  }

  /** The entry of a key; 0 when there is none. */
  #find(key: Uint8Array<ArrayBuffer>, hash: number): number {
    for (let address = this.#index.first(hash); address !== 0; address = this.#index.next()) {
      const length = this.#entries.getUint32(address + EntryField.keyLength);
      if (length === key.length && this.#hasKey(address, key)) return address;
    }
    return 0;
  }

  #hasKey(address: number, key: Uint8Array<ArrayBuffer>): boolean {
    if (this.#keyScratch.length < key.length) this.#keyScratch = new Uint8Array(key.length * 2);
    const there = this.#keyScratch.subarray(0, key.length);
    this.#entries.read(address + EntryField.key, there);
    return Buffer.compare(there, key) === 0;
  }

  #valueAt(address: number): Uint8Array<ArrayBuffer> {
    const value = new Uint8Array(this.#entries.getUint32(address + EntryField.valueLength));
    const keyLength = this.#entries.getUint32(address + EntryField.keyLength);
    this.#entries.read(address + EntryField.key + keyLength, value);
    return value;
  }
}
