import { type Cipher, NONCE_BYTES, TAG_BYTES } from './cipher.ts';

/**
 * The wire of the parameter server: frames over a byte stream, all integers little-endian.
 *
 *     offset  bytes
 *          0  4      length of the body
 *          4  4      kind
 *          8  8      sequence number: 0, 1, 2 … in each direction of a connection
 *         16  length body, AES-128-GCM
 *      … end  16     tag
 *
 * Kind and sequence number are the nonce. Kinds name their direction and sequence numbers never repeat in it, so
 * neither does a nonce under the one key of a connection; and a header that was changed does not open.
 */

/** What a frame is. Client kinds are below `SERVER_KINDS`, server kinds are not. */
export const Kind = {
  /** Client: 1 to `MAXIMUM_ITEMS` items of `ITEM_BYTES`: key, then the delta to add to its value (both 64 bits). */
  update: 1,
  /** Client: asks for the checksum over the whole model. No body. */
  checksum: 2,
  /** Client: asks the server to stop. No body. */
  stop: 3,
  /** Server: `Status` (4 bytes) and how many items of the update were applied (4 bytes). */
  reply: 0x81,
  /** Server: the checksum, 8 bytes. */
  checksumReply: 0x82,
} as const;

const SERVER_KINDS = 0x80;

export const Status = {
  applied: 0,
  /** The table was full at the item after those counted. */
  full: 1,
} as const;

export const HEADER_BYTES = 16;
export const ITEM_BYTES = 16;
export const REPLY_BYTES = 8;
export const CHECKSUM_BYTES = 8;
/** Items of one update at most: sixteen times the largest of the published experiment, and a frame stays small. */
export const MAXIMUM_ITEMS = 1024;
export const MAXIMUM_FRAME_BYTES: number = frameBytes(MAXIMUM_ITEMS * ITEM_BYTES);
/** Room for one frame of the largest size, and for reading on while a part of it waits. */
export const CONNECTION_BUFFER_BYTES: number = 65_536;
/** Frames of one direction of a connection at most: its numbers stay exact, and no nonce can come twice. */
export const MAXIMUM_FRAMES: number = 2 ** 48;

const TWO_TO_32 = 2 ** 32;

export type ProtocolErrorCode =
  | 'HELLO_INVALID'
  | 'KEY_REJECTED'
  | 'FRAME_INVALID'
  | 'FRAME_TOO_LARGE'
  | 'FRAME_OUT_OF_ORDER'
  | 'FRAME_FORGED'
  | 'FRAMES_EXHAUSTED';

/** The peer broke the protocol. Its connection is closed; nothing of the offending frame was applied. */
export class ProtocolError extends Error {
  readonly code: ProtocolErrorCode;

  constructor(code: ProtocolErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  override get name(): string {
    return 'ProtocolError';
  }
}

/** Bytes on the wire of a frame with a body of `length` bytes. */
export function frameBytes(length: number): number {
  return HEADER_BYTES + length + TAG_BYTES;
}

/**
 * Seals frames one behind the other into one buffer that is sent from its front. Fill the body at `body`, then
 * `seal` it. Nothing is allocated on the way.
 */
export class FrameWriter {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
  /** What waits to be sent lies from `begin` to `end`. */
  begin = 0;
  end = 0;
  #sequence = 0;

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Whether a frame with a body of `length` bytes fits behind what waits. */
  fits(length: number): boolean {
    return this.end + frameBytes(length) <= this.bytes.length;
  }

  /** Where the body of the next frame belongs. */
  get body(): number {
    return this.end + HEADER_BYTES;
  }

  seal(cipher: Cipher, kind: number, length: number): void {
    if (!this.fits(length)) throw new RangeError('the frame does not fit: send what waits first');
    if (this.#sequence === MAXIMUM_FRAMES) {
      throw new ProtocolError('FRAMES_EXHAUSTED', 'this connection sent all its frames: open a new one');
    }
    writeHeader(this.view, this.end, length, kind, this.#sequence);
    cipher.seal(this.bytes, this.body, length);
    this.#sequence += 1;
    this.end += frameBytes(length);
  }

  /** Puts bytes that are no frame (a hello) behind what waits. */
  put(bytes: Uint8Array): void {
    this.bytes.set(bytes, this.end);
    this.end += bytes.length;
  }

  /** Says that the first `count` bytes that waited are on their way. */
  sent(count: number): void {
    this.begin += count;
    if (this.begin === this.end) {
      this.begin = 0;
      this.end = 0;
    }
  }
}

function writeHeader(view: DataView, offset: number, length: number, kind: number, sequence: number): void {
  view.setUint32(offset, length, true);
  view.setUint32(offset + 4, kind, true);
  view.setUint32(offset + 8, sequence % TWO_TO_32, true);
  view.setUint32(offset + 12, Math.floor(sequence / TWO_TO_32), true);
}

/**
 * Takes bytes as they come, cut anywhere, and opens whole frames in place. The one buffer is all it ever holds;
 * nothing is allocated for a frame.
 *
 *     const room = reader.room();           // at least 1
 *     reader.received(receive(reader.bytes, reader.end, room));
 *     while (reader.next(cipher)) use(reader.kind, reader.body, reader.length);
 */
export class FrameReader {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
  /** Bytes that came and were not used yet lie from `begin` to `end`. */
  begin = 0;
  end = 0;
  /** The frame that `next` opened: valid until more bytes are received. */
  kind = 0;
  body = 0;
  length = 0;
  readonly #direction: number;
  #sequence = 0;

  constructor(bytes: Uint8Array<ArrayBuffer>, peer: 'client' | 'server') {
    if (bytes.length < MAXIMUM_FRAME_BYTES) {
      throw new RangeError(`a connection needs a buffer of ${MAXIMUM_FRAME_BYTES} bytes at least`);
    }
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#direction = peer === 'client' ? 0 : SERVER_KINDS;
  }

  /**
   * Bytes that can be received at `end`, which stays where it is until `received` or the next `room`. Moves what
   * waits to the front when a frame might not fit behind it.
   */
  room(): number {
    if (this.begin === this.end) {
      this.begin = 0;
      this.end = 0;
    } else if (this.begin > 0 && this.bytes.length - this.begin < MAXIMUM_FRAME_BYTES) {
      this.bytes.copyWithin(0, this.begin, this.end);
      this.end -= this.begin;
      this.begin = 0;
    }
    return this.bytes.length - this.end;
  }

  /** Says that `count` bytes were put at `end`. */
  received(count: number): void {
    this.end += count;
  }

  /** Takes `count` bytes that are no frame (a hello). Returns where they lie, or -1 while they are not all there. */
  take(count: number): number {
    const offset = this.begin;
    if (this.end - offset < count) return -1;
    this.#consume(count);
    return offset;
  }

  /** Opens the next frame and says so, or says that it is not all there. A frame that is wrong is an error. */
  next(cipher: Cipher): boolean {
    const offset = this.begin;
    const available = this.end - offset;
    if (available < HEADER_BYTES) return false;
    const length = this.#checkHeader(offset);
    if (available < frameBytes(length)) return false;
    if (!cipher.open(this.bytes, offset + HEADER_BYTES, length)) {
      throw new ProtocolError(
        'FRAME_FORGED',
        'a frame does not open: it was changed, or sealed with another key',
      );
    }
    this.kind = this.view.getUint32(offset + 4, true);
    this.body = offset + HEADER_BYTES;
    this.length = length;
    this.#sequence += 1;
    this.#consume(frameBytes(length));
    return true;
  }

  /** Returns the length of the body. Headers are judged before their body came: a liar cannot make us wait. */
  #checkHeader(offset: number): number {
    const length = this.view.getUint32(offset, true);
    const kind = this.view.getUint32(offset + 4, true);
    const sequence =
      this.view.getUint32(offset + 8, true) + this.view.getUint32(offset + 12, true) * TWO_TO_32;
    if (length > MAXIMUM_ITEMS * ITEM_BYTES) {
      throw new ProtocolError('FRAME_TOO_LARGE', `a frame has a body of ${length} bytes`);
    }
    if ((kind & SERVER_KINDS) !== this.#direction || !isBodyLength(kind, length)) {
      throw new ProtocolError('FRAME_INVALID', `no frame of kind ${kind} has a body of ${length} bytes`);
    }
    if (sequence !== this.#sequence) {
      throw new ProtocolError('FRAME_OUT_OF_ORDER', `frame ${sequence} came in place of ${this.#sequence}`);
    }
    return length;
  }

  #consume(count: number): void {
    this.begin += count;
  }
}

function isBodyLength(kind: number, length: number): boolean {
  switch (kind) {
    case Kind.update:
      return length > 0 && length % ITEM_BYTES === 0;
    case Kind.checksum:
    case Kind.stop:
      return length === 0;
    case Kind.reply:
      return length === REPLY_BYTES;
    case Kind.checksumReply:
      return length === CHECKSUM_BYTES;
    default:
      return false;
  }
}

if (NONCE_BYTES !== HEADER_BYTES - 4) throw new Error('the nonce is the header without its length');
