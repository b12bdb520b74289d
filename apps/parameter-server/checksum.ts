/** A 64-bit number as two unsigned 32-bit words: no BigInt on the way to it. */
export interface Words {
  readonly low: number;
  readonly high: number;
}

const LOW_SEED = 0x5347_5849;
const HIGH_SEED = 0x4f70_7331;

/**
 * A checksum over a whole model that does not depend on the order of its entries: the 64-bit wrapping sum of
 * a mix of every key with its value. Each half of the mix is MurmurHash3 (x86, 32 bits) over the four words of
 * the entry under a seed of its own. It finds lost and repeated updates; it is no defence against an attacker,
 * who is kept out by the cipher of the wire.
 */
export class Checksum implements Words {
  low = 0;
  high = 0;

  /** Takes one entry in. All words are unsigned 32-bit numbers. */
  add(keyLow: number, keyHigh: number, valueLow: number, valueHigh: number): void {
    const addend = mixEntry(LOW_SEED, keyLow, keyHigh, valueLow, valueHigh);
    const sum = (this.low + addend) >>> 0;
    const carry = sum < addend ? 1 : 0;
    this.low = sum;
    this.high = (this.high + mixEntry(HIGH_SEED, keyLow, keyHigh, valueLow, valueHigh) + carry) >>> 0;
  }

  equals(other: Words): boolean {
    return this.low === other.low && this.high === other.high;
  }

  /** Sixteen hexadecimal digits. */
  toString(): string {
    return formatWords(this);
  }
}

export function formatWords(words: Words): string {
  return words.high.toString(16).padStart(8, '0') + words.low.toString(16).padStart(8, '0');
}

function mixEntry(seed: number, first: number, second: number, third: number, fourth: number): number {
  const hash = mixWord(mixWord(mixWord(mixWord(seed, first), second), third), fourth);
  return finalMix(hash ^ 16);
}

function mixWord(hash: number, word: number): number {
  const scrambled = Math.imul(word, 0xcc9e_2d51);
  const mixed = hash ^ Math.imul((scrambled << 15) | (scrambled >>> 17), 0x1b87_3593);
  return (Math.imul((mixed << 13) | (mixed >>> 19), 5) + 0xe654_6b64) | 0;
}

/** The finalizer of MurmurHash3: every bit of the input reaches every bit of the unsigned 32-bit result. */
export function finalMix(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
