import { addressOf } from './ffi.ts';

const TWO_TO_32 = 2 ** 32;

/**
 * Bytes that never move, for the structures that the kernel reads and fills. Fields are read and written in
 * place, so one structure serves any number of calls without allocation. It must outlive the calls it is
 * passed to.
 */
export class Structure {
  readonly address: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Fields of up to 32 bits; x64 and arm64 are both little-endian, so pass `true`. */
  readonly view: DataView<ArrayBuffer>;

  constructor(bytes: number) {
    // Made through an ArrayBuffer of its own: a small typed array would lie in the moving heap.
    const buffer = new ArrayBuffer(bytes);
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
    this.address = addressOf(this.bytes);
  }

  /** A signed 64-bit field as a double: exact up to 2^53 on either side of zero. */
  get64(offset: number): number {
    return this.view.getUint32(offset, true) + this.view.getInt32(offset + 4, true) * TWO_TO_32;
  }

  set64(offset: number, value: number): void {
    this.view.setUint32(offset, value, true);
    this.view.setInt32(offset + 4, Math.floor(value / TWO_TO_32), true);
  }
}
