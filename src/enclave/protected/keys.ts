import { hash, hkdfSync, randomFillSync } from 'node:crypto';
import { PROTECTED_CIPHERS, PROTECTED_SEALS_PER_KEY } from '../../limits.ts';
import { type AesGcm, createAesGcm, type MappedMemory } from '../../linux/openssl.ts';
import { MOUNT_KEY_BYTES, NONCE_BYTES, NONCE_GENERATION_BYTES } from './format.ts';

const KEY_BYTES = 32;
const GENERATIONS = 2 ** (8 * NONCE_GENERATION_BYTES);
const RANDOM_POOL_BYTES = 4080;

/** Whose blocks: a file's number is used again after it was removed, with another incarnation. */
export interface KeyOwner {
  readonly number: number;
  readonly incarnation: number;
}

interface Held {
  readonly cipher: AesGcm;
  label: string;
  used: number;
}

/**
 * The keys of one mount. Each file has its own, derived from the mount's by HKDF, and a new one for every 2^24 seals:
 * nonces are random in 80 bits, so that two of one key are equal with a chance below 2^-33, whatever crashes, restarts
 * and returns of an older store there were. No counter that the host could set back stands between a key and its
 * nonces.
 */
export class Keys {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #memory: MappedMemory;
  readonly #scratch: number;
  readonly #key: Uint8Array<ArrayBuffer>;
  readonly #mountId: Uint8Array<ArrayBuffer>;
  readonly #nameKey: Uint8Array<ArrayBuffer>;
  readonly #held: Held[] = [];
  readonly #byLabel = new Map<string, Held>();
  readonly #random = new Uint8Array(RANDOM_POOL_BYTES);
  #randomAt = RANDOM_POOL_BYTES;
  #clock = 0;
  /** Whose key was asked for last: blocks come in runs. */
  #last: Held | undefined;
  #lastNumber = 0;
  #lastIncarnation = 0;
  #lastGeneration = 0;

  /** `scratch` is the offset of 32 bytes of `memory` for a key on its way to a cipher. */
  constructor(
    memory: MappedMemory,
    scratch: number,
    key: Uint8Array<ArrayBuffer>,
    mountId: Uint8Array<ArrayBuffer>,
  ) {
    this.#memory = memory;
    this.#bytes = new Uint8Array(memory.buffer);
    this.#scratch = scratch;
    this.#key = Uint8Array.from(key);
    this.#mountId = Uint8Array.from(mountId);
    this.#nameKey = this.#derive('names');
  }

  /** The cipher for a seal of a file that has had so many; its nonce is drawn into the 12 bytes at `nonceAt`. */
  forSealing(owner: KeyOwner, seals: number, nonceAt: number): AesGcm {
    const generation = Math.floor(seals / PROTECTED_SEALS_PER_KEY) % GENERATIONS;
    this.#bytes[nonceAt] = generation & 0xff;
    this.#bytes[nonceAt + 1] = generation >>> 8;
    const drawn = NONCE_BYTES - NONCE_GENERATION_BYTES;
    if (this.#randomAt + drawn > RANDOM_POOL_BYTES) {
      randomFillSync(this.#random);
      this.#randomAt = 0;
    }
    for (let index = 0; index < drawn; index++) {
      this.#bytes[nonceAt + NONCE_GENERATION_BYTES + index] = this.#random[this.#randomAt++]!;
    }
    return this.#cipher(owner, generation);
  }

  /** The cipher for what was sealed with the nonce at `nonceAt`. */
  forOpening(owner: KeyOwner, nonceAt: number): AesGcm {
    return this.#cipher(owner, this.#bytes[nonceAt]! + (this.#bytes[nonceAt + 1]! << 8));
  }

  /** Where a name belongs in its directory: 32 bits that the host cannot choose. */
  hashName(name: Uint8Array<ArrayBuffer>): number {
    const input = new Uint8Array(KEY_BYTES + name.length);
    input.set(this.#nameKey);
    input.set(name, KEY_BYTES);
    return hash('sha256', input, 'buffer').readUInt32LE(0);
  }

  close(): void {
    for (const { cipher } of this.#held) cipher.close();
    this.#held.length = 0;
    this.#byLabel.clear();
    this.#last = undefined;
    this.#key.fill(0);
    this.#nameKey.fill(0);
  }

  #cipher(owner: KeyOwner, generation: number): AesGcm {
    const last = this.#last;
    if (
      last !== undefined &&
      this.#lastNumber === owner.number &&
      this.#lastIncarnation === owner.incarnation &&
      this.#lastGeneration === generation
    ) {
      return last.cipher;
    }
    this.#lastNumber = owner.number;
    this.#lastIncarnation = owner.incarnation;
    this.#lastGeneration = generation;
    const label = `block ${owner.number} ${owner.incarnation} ${generation}`;
    const found = this.#byLabel.get(label);
    const held = found ?? this.#take(label);
    held.used = ++this.#clock;
    this.#last = held;
    return held.cipher;
  }

  /** A cipher that is new, or the one used least lately, with the key of that label. */
  #take(label: string): Held {
    let held: Held;
    if (this.#held.length < PROTECTED_CIPHERS) {
      held = { cipher: createAesGcm(this.#memory, KEY_BYTES), label, used: 0 };
      this.#held.push(held);
    } else {
      held = this.#held.reduce((oldest, other) => (other.used < oldest.used ? other : oldest));
      this.#byLabel.delete(held.label);
      held.label = label;
    }
    const key = this.#derive(label);
    this.#bytes.set(key, this.#scratch);
    held.cipher.setKey(this.#scratch);
    this.#bytes.fill(0, this.#scratch, this.#scratch + KEY_BYTES);
    key.fill(0);
    this.#byLabel.set(label, held);
    return held;
  }

  #derive(label: string): Uint8Array<ArrayBuffer> {
    return new Uint8Array(
      hkdfSync('sha256', this.#key, this.#mountId, `sgxio files 1 ${label}`, MOUNT_KEY_BYTES),
    );
  }
}

/** The key of one mount of several that share a secret. */
export function deriveMountKey(secret: Uint8Array<ArrayBuffer>, mount: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(hkdfSync('sha256', secret, '', `sgxio files 1 mount ${mount}`, MOUNT_KEY_BYTES));
}
