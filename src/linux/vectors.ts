import { Structure } from './structure.ts';

const VECTOR_BYTES = 16;

/** An `iovec` array: where the parts of one scattered read or gathered write lie, in order. */
export class Vectors {
  readonly capacity: number;
  /** How many of them the next call uses. */
  count = 0;
  readonly #vectors: Structure;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.#vectors = new Structure(capacity * VECTOR_BYTES);
  }

  get address(): number {
    return this.#vectors.address;
  }

  set(index: number, address: number, length: number): void {
    this.#vectors.set64(index * VECTOR_BYTES, address);
    this.#vectors.set64(index * VECTOR_BYTES + 8, length);
  }
}
