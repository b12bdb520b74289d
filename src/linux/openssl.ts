import { createCipheriv, createDecipheriv, randomFillSync } from 'node:crypto';
import { TAG_BYTES } from '../limits.ts';
import { addressOf, declareOfNode } from './ffi.ts';

/** Memory at a fixed address, and the same memory as JavaScript sees it. */
export interface MappedMemory {
  readonly address: number;
  readonly buffer: ArrayBuffer;
}

/**
 * AES-GCM over one piece of private memory. Every operand is an offset into it, in bytes; a nonce has 12, a
 * tag 16. Nothing is allocated per call, and input and output may be the same place.
 *
 * The output must be private: GHASH may read the ciphertext back from where it was written, so sealing straight
 * into shared memory would let the host choose what the tag vouches for.
 */
export interface AesGcm {
  readonly implementation: 'openssl' | 'node:crypto';
  /** Uses the key that lies at `key` from now on. */
  setKey(key: number): void;
  seal(nonce: number, input: number, bytes: number, output: number, tag: number): void;
  /** False when the tag does not match; then the output is to be wiped, not read. */
  open(nonce: number, input: number, bytes: number, output: number, tag: number): boolean;
  /** As {@link open}, in place, of what lies in other private memory. */
  openWithin(memory: MappedMemory, offset: number, bytes: number, nonce: number, tag: number): boolean;
  /** Frees the cipher's contexts, keys included. */
  close(): void;
}

export type KeyBytes = 16 | 32;
const NONCE_BYTES = 12;
const GET_TAG = 0x10;
const ENCRYPT = 1;
const DECRYPT = 0;
const KEEP = 0;
const NONE = 0;

/** An OSSL_PARAM: offsets of its members; one without a name ends a list of them. */
const Parameter = { name: 0, type: 8, data: 16, size: 24, bytes: 40 } as const;
const OCTET_STRING = 5;
/** OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED, which of a size of -1 is the whole nonce, and OSSL_CIPHER_PARAM_AEAD_TAG. */
const NONCE_NAME = 'tlsivfixed\0';
const TAG_NAME = 'tag\0';
/** What an {@link OpensslAesGcm} keeps in memory of its own: two names, a list of a nonce, one of a nonce and a tag. */
const Scratch = {
  length: 0,
  nothing: 16,
  nonce: 32,
  tag: 48,
  forSealing: 64,
  forOpening: 144,
  bytes: 264,
} as const;
const WORD = 2 ** 32;
/** All bits of a size. */
const WHOLE = -1;

type Address = number;
interface Evp {
  newContext(): Address;
  freeContext(context: Address): void;
  init(
    context: Address,
    cipher: Address,
    key: Address,
    iv: Address,
    mode: number,
    parameters: Address,
  ): number;
  setParameters(context: Address, parameters: Address): number;
  update(context: Address, output: Address, written: Address, input: Address, bytes: number): number;
  final(context: Address, output: Address, written: Address): number;
  control(context: Address, command: number, bytes: number, at: Address): number;
  cipherOf(keyBytes: KeyBytes): Address;
}

/** The EVP interface of the OpenSSL inside Node, or undefined where this build does not export it. */
function findEvp(): Evp | undefined {
  try {
    const aes128: () => Address = declareOfNode('uintptr_t EVP_aes_128_gcm()');
    const aes256: () => Address = declareOfNode('uintptr_t EVP_aes_256_gcm()');
    return {
      newContext: declareOfNode('uintptr_t EVP_CIPHER_CTX_new()'),
      freeContext: declareOfNode('void EVP_CIPHER_CTX_free(uintptr_t)'),
      init: declareOfNode(
        'int EVP_CipherInit_ex2(uintptr_t, uintptr_t, uintptr_t, uintptr_t, int, uintptr_t)',
      ),
      setParameters: declareOfNode('int EVP_CIPHER_CTX_set_params(uintptr_t, uintptr_t)'),
      update: declareOfNode('int EVP_CipherUpdate(uintptr_t, uintptr_t, uintptr_t, uintptr_t, int)'),
      final: declareOfNode('int EVP_CipherFinal_ex(uintptr_t, uintptr_t, uintptr_t)'),
      control: declareOfNode('int EVP_CIPHER_CTX_ctrl(uintptr_t, int, int, uintptr_t)'),
      cipherOf: (keyBytes) => (keyBytes === 16 ? aes128() : aes256()),
    };
  } catch {
    return undefined;
  }
}

/** Calls OpenSSL itself, with a context per direction that lives as long as the key. */
class OpensslAesGcm implements AesGcm {
  readonly implementation = 'openssl';
  readonly #evp: Evp;
  /** Held, so that what lies at its address stays there. */
  readonly #memory: MappedMemory;
  readonly #base: Address;
  readonly #sealing: Address;
  readonly #opening: Address;
  readonly #cipher: Address;
  /** Where OpenSSL writes lengths that are known beforehand and the nothing that GCM's last step yields; the tag's place. */
  readonly #scratch = new Uint8Array(Scratch.bytes);
  readonly #words = new Uint32Array(this.#scratch.buffer);
  readonly #scratchAt: Address;

  constructor(evp: Evp, memory: MappedMemory, keyBytes: KeyBytes) {
    this.#evp = evp;
    this.#memory = memory;
    this.#base = memory.address;
    this.#sealing = evp.newContext();
    this.#opening = evp.newContext();
    this.#cipher = evp.cipherOf(keyBytes);
    this.#scratchAt = addressOf(this.#scratch);
    this.#scratch.set(Buffer.from(NONCE_NAME), Scratch.nonce);
    this.#scratch.set(Buffer.from(TAG_NAME), Scratch.tag);
    this.#describe(Scratch.forSealing, Scratch.nonce, WHOLE);
    this.#describe(Scratch.forOpening, Scratch.nonce, WHOLE);
    this.#describe(Scratch.forOpening + Parameter.bytes, Scratch.tag, TAG_BYTES);
  }

  #describe(parameter: number, name: number, bytes: number): void {
    this.#point(parameter + Parameter.name, this.#scratchAt + name);
    this.#words[(parameter + Parameter.type) >> 2] = OCTET_STRING;
    this.#point(parameter + Parameter.size, bytes);
  }

  setKey(key: number): void {
    const { init } = this.#evp;
    const { address } = this.#memory;
    const sealing = init(this.#sealing, this.#cipher, address + key, KEEP, ENCRYPT, NONE);
    const opening = init(this.#opening, this.#cipher, address + key, KEEP, DECRYPT, NONE);
    if (sealing !== 1 || opening !== 1) throw new Error('OpenSSL did not take the key');
  }

  seal(nonce: number, input: number, bytes: number, output: number, tag: number): void {
    const evp = this.#evp;
    const context = this.#sealing;
    const base = this.#base;
    const scratch = this.#scratchAt;
    this.#point(Scratch.forSealing + Parameter.data, base + nonce);
    const done =
      evp.setParameters(context, scratch + Scratch.forSealing) &
      evp.update(context, base + output, scratch, base + input, bytes) &
      evp.final(context, scratch + Scratch.nothing, scratch) &
      evp.control(context, GET_TAG, TAG_BYTES, base + tag);
    if (done !== 1) throw new Error('OpenSSL did not seal');
  }

  open(nonce: number, input: number, bytes: number, output: number, tag: number): boolean {
    return this.#openAt(nonce, this.#base + input, bytes, this.#base + output, tag);
  }

  openWithin({ address }: MappedMemory, offset: number, bytes: number, nonce: number, tag: number): boolean {
    return this.#openAt(nonce, address + offset, bytes, address + offset, tag);
  }

  /** The nonce and the tag to compare with go along in one call, the cheapest that takes them. */
  #openAt(nonce: number, input: Address, bytes: number, output: Address, tag: number): boolean {
    const evp = this.#evp;
    const context = this.#opening;
    const base = this.#base;
    const scratch = this.#scratchAt;
    this.#point(Scratch.forOpening + Parameter.data, base + nonce);
    this.#point(Scratch.forOpening + Parameter.bytes + Parameter.data, base + tag);
    const ready =
      evp.setParameters(context, scratch + Scratch.forOpening) &
      evp.update(context, output, scratch, input, bytes);
    return ready === 1 && evp.final(context, scratch + Scratch.nothing, scratch) === 1;
  }

  #point(at: number, address: Address): void {
    this.#words[at >> 2] = address % WORD;
    this.#words[(at >> 2) + 1] = Math.floor(address / WORD);
  }

  close(): void {
    this.#evp.freeContext(this.#sealing);
    this.#evp.freeContext(this.#opening);
  }
}

/** The same by `node:crypto`: several times slower, and always there. */
class NodeAesGcm implements AesGcm {
  readonly implementation = 'node:crypto';
  readonly #memory: Uint8Array<ArrayBuffer>;
  readonly #name: 'aes-128-gcm' | 'aes-256-gcm';
  readonly #key: Uint8Array<ArrayBuffer>;

  constructor(memory: MappedMemory, keyBytes: KeyBytes) {
    this.#memory = new Uint8Array(memory.buffer);
    this.#name = keyBytes === 16 ? 'aes-128-gcm' : 'aes-256-gcm';
    this.#key = new Uint8Array(keyBytes);
  }

  setKey(key: number): void {
    this.#key.set(this.#memory.subarray(key, key + this.#key.length));
  }

  seal(nonce: number, input: number, bytes: number, output: number, tag: number): void {
    const cipher = createCipheriv(this.#name, this.#key, this.#part(nonce, NONCE_BYTES));
    const sealed = cipher.update(this.#part(input, bytes));
    cipher.final();
    this.#memory.set(sealed, output);
    this.#memory.set(cipher.getAuthTag(), tag);
  }

  open(nonce: number, input: number, bytes: number, output: number, tag: number): boolean {
    const opened = this.#opened(nonce, this.#part(input, bytes), tag);
    if (opened !== undefined) this.#memory.set(opened, output);
    return opened !== undefined;
  }

  openWithin({ buffer }: MappedMemory, offset: number, bytes: number, nonce: number, tag: number): boolean {
    const place = new Uint8Array(buffer, offset, bytes);
    const opened = this.#opened(nonce, place, tag);
    if (opened !== undefined) place.set(opened);
    return opened !== undefined;
  }

  close(): void {
    this.#key.fill(0);
  }

  #opened(nonce: number, input: Uint8Array<ArrayBuffer>, tag: number): Uint8Array | undefined {
    const decipher = createDecipheriv(this.#name, this.#key, this.#part(nonce, NONCE_BYTES));
    decipher.setAuthTag(this.#part(tag, TAG_BYTES));
    const opened = decipher.update(input);
    try {
      decipher.final();
      return opened;
    } catch {
      return undefined;
    }
  }

  #part(offset: number, bytes: number): Uint8Array<ArrayBuffer> {
    return this.#memory.subarray(offset, offset + bytes);
  }
}

/** Whether OpenSSL, called by hand, does what `node:crypto` does: same bytes and tag for each nonce, and no to a wrong tag. */
function agrees(evp: Evp, keyBytes: KeyBytes): boolean {
  const KEY = 0;
  const NONCES = [64, 76];
  const INPUT = 128;
  const BYTES = 1000;
  const HERE = { output: 2048, tag: 3072 };
  const THERE = { output: 4096, tag: 5120 };
  const bytes = randomFillSync(new Uint8Array(8192));
  const memory = { address: addressOf(bytes), buffer: bytes.buffer };
  const fast = new OpensslAesGcm(evp, memory, keyBytes);
  const slow = new NodeAesGcm(memory, keyBytes);
  try {
    fast.setKey(KEY);
    slow.setKey(KEY);
    const same = (one: number, other: number, length: number) =>
      bytes.subarray(one, one + length).every((byte, index) => byte === bytes[other + index]);
    return NONCES.every((nonce) => {
      fast.seal(nonce, INPUT, BYTES, HERE.output, HERE.tag);
      slow.seal(nonce, INPUT, BYTES, THERE.output, THERE.tag);
      if (!same(HERE.output, THERE.output, BYTES) || !same(HERE.tag, THERE.tag, TAG_BYTES)) return false;
      if (!fast.open(nonce, THERE.output, BYTES, HERE.output, THERE.tag)) return false;
      if (!same(HERE.output, INPUT, BYTES)) return false;
      bytes[THERE.tag]! ^= 1;
      return !fast.open(nonce, THERE.output, BYTES, HERE.output, THERE.tag);
    });
  } catch {
    return false;
  } finally {
    fast.close();
  }
}

/** OpenSSL as this process has it, proved for each length of key once. */
const proved = new Map<KeyBytes, Evp | undefined>();

function provedEvp(keyBytes: KeyBytes): Evp | undefined {
  if (!proved.has(keyBytes)) {
    const evp = findEvp();
    proved.set(keyBytes, evp !== undefined && agrees(evp, keyBytes) ? evp : undefined);
  }
  return proved.get(keyBytes);
}

/**
 * AES-GCM over `memory` by Node's own OpenSSL if it proves equal to `node:crypto`, else by `node:crypto`.
 * One per thread: a context is not to be shared.
 */
export function createAesGcm(memory: MappedMemory, keyBytes: KeyBytes): AesGcm {
  const evp = provedEvp(keyBytes);
  return evp === undefined ? createNodeAesGcm(memory, keyBytes) : new OpensslAesGcm(evp, memory, keyBytes);
}

/** AES-GCM over `memory` by `node:crypto` alone. */
export function createNodeAesGcm(memory: MappedMemory, keyBytes: KeyBytes): AesGcm {
  return new NodeAesGcm(memory, keyBytes);
}
