import { createHash } from 'node:crypto';
import { ImageError } from '../errors.ts';
import { CODE_BYTES_MAX, MANIFEST_BYTES_MAX } from '../limits.ts';
import { type Manifest, manifestText, parseManifest } from './manifest.ts';

/** A program ready to run in an enclave: its code in one piece, what it asks for, and who that makes it. */
export interface Image {
  readonly manifest: Manifest;
  /** A CommonJS script in UTF-8. */
  readonly code: Uint8Array<ArrayBuffer>;
  /** SHA-256 over manifest and code, in hexadecimal: the identity that a user compares. */
  readonly measurement: string;
}

/**
 * As bytes, numbers little-endian: magic (8), version (4), length of the manifest (4), length of the code (4),
 * manifest as JSON, code, measurement (32). The measurement covers all that stands before it, so each of its
 * inputs comes with its length.
 */
const MAGIC = new TextEncoder().encode('SGXIOIMG');
const VERSION = 1;
const VERSION_OFFSET = 8;
const MANIFEST_LENGTH_OFFSET = 12;
const CODE_LENGTH_OFFSET = 16;
const HEADER_BYTES = 20;
const MEASUREMENT_BYTES = 32;

export const ENCODED_IMAGE_BYTES_MAX: number =
  HEADER_BYTES + MANIFEST_BYTES_MAX + CODE_BYTES_MAX + MEASUREMENT_BYTES;

/** Makes an image of a bundled program. */
export function createImage(manifest: Manifest, code: Uint8Array<ArrayBuffer>): Image {
  return { manifest, code, measurement: hex(measure(encodeMeasured(manifest, code))) };
}

export function encodeImage(image: Image): Uint8Array<ArrayBuffer> {
  const measured = encodeMeasured(image.manifest, image.code);
  return concatenate([measured, measure(measured)]);
}

/**
 * Reads an image that anyone may have written. That it comes out says that it is whole, not that it is the one
 * you want: compare its measurement.
 */
export function decodeImage(bytes: Uint8Array<ArrayBuffer>): Image {
  const { manifestLength, codeLength } = decodeHeader(bytes);
  const measuredLength = HEADER_BYTES + manifestLength + codeLength;
  if (bytes.length !== measuredLength + MEASUREMENT_BYTES) {
    throw invalid(`it has ${bytes.length} bytes instead of ${measuredLength + MEASUREMENT_BYTES}`);
  }
  const measurement = hex(measure(bytes.subarray(0, measuredLength)));
  if (measurement !== hex(bytes.subarray(measuredLength))) {
    throw new ImageError(
      'SGXIO_IMAGE_TAMPERED',
      'The image was changed after it was built; build or fetch it again.',
    );
  }
  const manifest = decodeManifest(bytes.subarray(HEADER_BYTES, HEADER_BYTES + manifestLength));
  return { manifest, code: bytes.slice(HEADER_BYTES + manifestLength, measuredLength), measurement };
}

function decodeHeader(bytes: Uint8Array<ArrayBuffer>): { manifestLength: number; codeLength: number } {
  if (bytes.length < HEADER_BYTES || MAGIC.some((byte, index) => bytes[index] !== byte)) {
    throw invalid('it is no image of sgxio');
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = view.getUint32(VERSION_OFFSET, true);
  if (version !== VERSION) throw invalid(`its format is version ${version}, not ${VERSION}; build it again`);
  const manifestLength = view.getUint32(MANIFEST_LENGTH_OFFSET, true);
  const codeLength = view.getUint32(CODE_LENGTH_OFFSET, true);
  requireSize('manifest', manifestLength, MANIFEST_BYTES_MAX);
  requireSize('code', codeLength, CODE_BYTES_MAX);
  return { manifestLength, codeLength };
}

/** Only the text that `manifestText` writes is taken: one manifest has one measurement. */
function decodeManifest(bytes: Uint8Array<ArrayBuffer>): Manifest {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    const manifest = parseManifest(JSON.parse(text));
    if (manifestText(manifest) === text) return manifest;
  } catch (cause) {
    if (cause instanceof ImageError) throw cause;
    throw invalid('its manifest is no JSON', { cause });
  }
  throw invalid('its manifest is not in the form that is measured');
}

function encodeMeasured(manifest: Manifest, code: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(manifestText(manifest));
  requireSize('manifest', text.length, MANIFEST_BYTES_MAX);
  requireSize('code', code.length, CODE_BYTES_MAX);
  const header = new Uint8Array(HEADER_BYTES);
  header.set(MAGIC);
  const view = new DataView(header.buffer);
  view.setUint32(VERSION_OFFSET, VERSION, true);
  view.setUint32(MANIFEST_LENGTH_OFFSET, text.length, true);
  view.setUint32(CODE_LENGTH_OFFSET, code.length, true);
  return concatenate([header, text, code]);
}

function requireSize(part: string, bytes: number, maximum: number): void {
  if (bytes > maximum) throw invalid(`its ${part} has ${bytes} bytes, more than the ${maximum} allowed`);
}

function measure(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createHash('sha256').update(bytes).digest());
}

function hex(bytes: Uint8Array<ArrayBuffer>): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

function concatenate(parts: readonly Uint8Array<ArrayBuffer>[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function invalid(reason: string, options?: ErrorOptions): ImageError {
  return new ImageError('SGXIO_IMAGE_INVALID', `The image is not valid: ${reason}.`, options);
}
