import { InvalidArgumentError } from '../errors.ts';
import { WORD_STRIDE_BYTES } from '../limits.ts';

/**
 * Words that host and enclave both see at once, without a launch or a call: progress, stop flags, hints of load.
 *
 * **What may be believed.** Each word has one writer by agreement, but the host can write all of them, at any
 * time. For the enclave a word of the host's is a wish, never a fact: stop early because of it, compute nothing
 * from it, and bound what it makes you do. A word of the enclave's tells the host what the enclave says; it proves
 * nothing, and whoever else reads the host's memory reads it too: no secret belongs in it, and neither does how
 * long a secret took.
 *
 * A word is a signed 32-bit number. Words lie apart, so that writers do not slow each other.
 */
export class SharedWords {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #writable: ReadonlySet<number>;

  /** `writable`: the words that this side writes. */
  constructor(bytes: Uint8Array<SharedArrayBuffer>, writable: readonly number[]) {
    const count = Math.floor(bytes.length / WORD_STRIDE_BYTES);
    this.#words = new Int32Array(bytes.buffer, bytes.byteOffset, (count * WORD_STRIDE_BYTES) / 4);
    this.#writable = new Set(writable);
  }

  /** How many words there are. */
  get length(): number {
    return (this.#words.length * 4) / WORD_STRIDE_BYTES;
  }

  #at(word: number): number {
    if (Number.isInteger(word) && word >= 0 && word < this.length) return (word * WORD_STRIDE_BYTES) / 4;
    throw new InvalidArgumentError(`there is no word ${word}; there are ${this.length}`);
  }

  load(word: number): number {
    return Atomics.load(this.#words, this.#at(word));
  }

  /** Fails where the other side is the word's writer. */
  store(word: number, value: number): void {
    this.#requireWriter(word);
    Atomics.store(this.#words, this.#at(word), value);
  }

  /** Adds to a word of this side's and returns the sum. It wraps. */
  add(word: number, value: number): number {
    this.#requireWriter(word);
    return (Atomics.add(this.#words, this.#at(word), value) + value) | 0;
  }

  #requireWriter(word: number): void {
    this.#at(word);
    if (!this.#writable.has(word))
      throw new InvalidArgumentError(`the other side is the writer of word ${word}`);
  }
}

/** Bytes of pinned memory that so many words take. */
export function sharedWordsBytes(words: number): number {
  return words * WORD_STRIDE_BYTES;
}
