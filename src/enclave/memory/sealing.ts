import { hkdfSync, randomFillSync } from 'node:crypto';
import { PAGE_BYTES, SUB_PAGE_BYTES, TAG_BYTES } from '../../limits.ts';
import type { AesGcm, KeyBytes, MappedMemory } from '../../linux/openssl.ts';

/** Where a heap keeps the secrets of its sealing. All of it is private memory, shared by the heap's threads. */
export interface SealingState {
  /** 32 bytes from which each key is derived. */
  readonly master: Uint8Array<ArrayBuffer>;
  /** One word: how many seals there have been. */
  readonly seals: Float64Array<ArrayBuffer>;
  /** 64 bytes for a key on its way to the cipher, and for nonces. */
  readonly scratch: Uint8Array<ArrayBuffer>;
}

export interface SealingOptions {
  readonly keyBytes: KeyBytes;
  readonly sealsPerKey: number;
  readonly cipher: (memory: MappedMemory, keyBytes: KeyBytes) => AesGcm;
}

/** The largest version that a page's entry holds beside one bit for its form. */
const LAST_VERSION = 2 ** 52 - 1;
const SUB_PAGES = PAGE_BYTES / SUB_PAGE_BYTES;
/** Bytes of a sealed page and of a sealed sub-page, with the tag. */
export const SEALED_PAGE: number = PAGE_BYTES + TAG_BYTES;
export const SEALED_SUB_PAGE: number = SUB_PAGE_BYTES + TAG_BYTES;

export function drawMasterKey(state: SealingState): void {
  randomFillSync(state.master);
}

/**
 * Seals pages with AES-GCM. A version is drawn from one counter for the whole heap and never twice; the nonce is
 * the page (and sub-page) with the version. Because the version of a page lies in private memory, the tag may lie
 * beside the ciphertext in the store: an older copy, another page's copy or another form was sealed under another
 * nonce and does not open. That makes 8 private bytes a page instead of Eleos' 28, and sub-pages cost none.
 *
 * A key serves `sealsPerKey` versions. Each is derived from the master key and the number of its generation, which
 * the version tells, so pages of earlier generations stay readable and nothing is sealed anew at a change of key.
 */
export class PageSealer {
  readonly #memory: MappedMemory;
  readonly #state: SealingState;
  readonly #options: SealingOptions;
  readonly #nonceAt: number;
  readonly #nonce: Uint32Array<ArrayBuffer>;
  readonly #current: AesGcm;
  #currentGeneration = -1;
  /** For pages of earlier generations; made when the first one is met. */
  #earlier: AesGcm | undefined;
  #earlierGeneration = -1;

  constructor(memory: MappedMemory, state: SealingState, options: SealingOptions) {
    this.#memory = memory;
    this.#state = state;
    this.#options = options;
    this.#nonceAt = state.scratch.byteOffset + 32;
    this.#nonce = new Uint32Array(memory.buffer, this.#nonceAt, 3);
    this.#current = this.#createCipher();
  }

  get implementation(): AesGcm['implementation'] {
    return this.#current.implementation;
  }

  /** A version for one sealing of one page. */
  nextVersion(): number {
    const version = this.#state.seals[0]! + 1;
    if (version > LAST_VERSION) throw new RangeError('every version of this heap is used up');
    this.#state.seals[0] = version;
    return version;
  }

  /** Seals the page at `input` into the slot at `output`: the ciphertext, then its tag. Both are offsets. */
  sealPage(page: number, version: number, input: number, output: number): void {
    this.#prepare(page * SUB_PAGES, version);
    this.#cipherOf(version).seal(this.#nonceAt, input, PAGE_BYTES, output, output + PAGE_BYTES);
  }

  /** Opens a slot; false, and nothing left at `output`, when it is not what `sealPage` made of this version. */
  openPage(page: number, version: number, input: number, output: number): boolean {
    this.#prepare(page * SUB_PAGES, version);
    const cipher = this.#cipherOf(version);
    if (cipher.open(this.#nonceAt, input, PAGE_BYTES, output, input + PAGE_BYTES)) return true;
    return this.#wipe(output, PAGE_BYTES);
  }

  /** Seals a page so that each of its sub-pages can be opened alone: every one is followed by its own tag. */
  sealSubPages(page: number, version: number, input: number, output: number): void {
    const cipher = this.#cipherOf(version);
    for (let index = 0; index < SUB_PAGES; index++) {
      const to = output + index * SEALED_SUB_PAGE;
      this.#prepare(page * SUB_PAGES + index, version);
      cipher.seal(this.#nonceAt, input + index * SUB_PAGE_BYTES, SUB_PAGE_BYTES, to, to + SUB_PAGE_BYTES);
    }
  }

  openSubPages(page: number, version: number, input: number, output: number): boolean {
    for (let index = 0; index < SUB_PAGES; index++) {
      const from = input + index * SEALED_SUB_PAGE;
      if (!this.openSubPage(page, index, version, from, output + index * SUB_PAGE_BYTES)) {
        return this.#wipe(output, PAGE_BYTES);
      }
    }
    return true;
  }

  openSubPage(page: number, index: number, version: number, input: number, output: number): boolean {
    this.#prepare(page * SUB_PAGES + index, version);
    const cipher = this.#cipherOf(version);
    if (cipher.open(this.#nonceAt, input, SUB_PAGE_BYTES, output, input + SUB_PAGE_BYTES)) return true;
    return this.#wipe(output, SUB_PAGE_BYTES);
  }

  close(): void {
    this.#current.close();
    this.#earlier?.close();
  }

  #prepare(unit: number, version: number): void {
    this.#nonce[0] = unit;
    this.#nonce[1] = version >>> 0;
    this.#nonce[2] = Math.floor(version / 2 ** 32);
  }

  #cipherOf(version: number): AesGcm {
    const generation = Math.floor(version / this.#options.sealsPerKey);
    if (generation === this.#currentGeneration) return this.#current;
    if (generation > this.#currentGeneration) {
      this.#useKey(this.#current, generation);
      this.#currentGeneration = generation;
      return this.#current;
    }
    this.#earlier ??= this.#createCipher();
    if (generation !== this.#earlierGeneration) this.#useKey(this.#earlier, generation);
    this.#earlierGeneration = generation;
    return this.#earlier;
  }

  #createCipher(): AesGcm {
    return this.#options.cipher(this.#memory, this.#options.keyBytes);
  }

  #useKey(cipher: AesGcm, generation: number): void {
    const { keyBytes } = this.#options;
    const key = new Uint8Array(
      hkdfSync('sha256', this.#state.master, '', `sgxio page ${generation}`, keyBytes),
    );
    this.#state.scratch.set(key);
    cipher.setKey(this.#state.scratch.byteOffset);
    this.#state.scratch.fill(0, 0, keyBytes);
    key.fill(0);
  }

  #wipe(output: number, bytes: number): false {
    new Uint8Array(this.#memory.buffer, output, bytes).fill(0);
    return false;
  }
}

/** Where a sub-page lies in its page's slot. */
export function subPagePosition(index: number): number {
  return index * SEALED_SUB_PAGE;
}
