import { SecureArray } from '../../enclave/memory/array.ts';
import type { SecureHeap } from '../../enclave/memory/heap.ts';
import type { SecurePointer } from '../../enclave/memory/pointer.ts';
import { PAGE_BYTES } from '../../limits.ts';
import { medians, nextRandom, type Row, round, type Scale, sink, withHeap } from './support.ts';

/**
 * Items of a page at random places, read and written: linked pointers against typed arrays. A pointer is linked in two
 * ways: `windowed`, where the loop keeps the window in variables of its own and leaves when an item lies outside, and
 * `located`, where it asks the pointer each time. Both compare on every access.
 */
export function* hitRows({ rounds }: Scale): Iterable<Row> {
  for (const bytes of [16, 256, 2048, 4096]) {
    const times = withHeap(1, 4, (heap) => {
      const loops = bytes === 16 ? pairLoops(heap) : itemLoops(heap, bytes);
      return medians(rounds * 5, Math.ceil(4e6 / bytes), loops);
    });
    yield hit('hit-read', bytes, times.readPlain, times.readWindowed, times.readLocated);
    yield hit('hit-write', bytes, times.writePlain, times.writeWindowed, times.writeLocated);
  }
  yield withHeap(1, 4, (heap) => elementRow(heap, rounds));
}

function hit(what: string, bytes: number, plain: number, linked: number, located: number): Row {
  return {
    what,
    bytes,
    plain_ns: round(plain),
    linked_ns: round(linked),
    ratio: round(linked / plain),
    located_ns: round(located),
    located_ratio: round(located / plain),
  };
}

type Way = 'Plain' | 'Windowed' | 'Located';
type Loops = Record<`${'read' | 'write'}${Way}`, (operations: number) => void>;

/** Two pages, of which both have been linked: else the engine takes the other as something that never happens. */
function twoPages(heap: SecureHeap): SecurePointer {
  const pointer = heap.alloc(2 * PAGE_BYTES);
  for (let turn = 0; turn < 4000; turn++) {
    pointer.locate((turn & 1) * PAGE_BYTES, 16);
    pointer.locateToWrite((turn & 1) * PAGE_BYTES, 16);
  }
  pointer.link(0, true);
  return pointer;
}

function wordsOf(heap: SecureHeap): Float64Array {
  return new Float64Array(heap.frames.buffer, heap.frames.byteOffset, heap.frames.length / 8);
}

/** Items of two words, which nobody would loop over. */
function pairLoops(heap: SecureHeap): Loops {
  const pointer = twoPages(heap);
  const frames = wordsOf(heap);
  const plain = new Float64Array(PAGE_BYTES / 8);
  const mask = PAGE_BYTES / 16 - 1;
  return {
    readPlain(operations) {
      let sum = 0;
      let state = 1;
      for (let count = 0; count < operations; count++) {
        state = nextRandom(state);
        const at = ((state >> 8) & mask) * 2;
        sum += plain[at]! + plain[at + 1]!;
      }
      sink[0]! += sum;
    },
    readWindowed(operations) {
      let sum = 0;
      let state = nextRandom(1);
      for (let count = 0; count < operations; ) {
        pointer.link(((state >> 8) & mask) * 16, false);
        const start = pointer.windowStart >> 3;
        const last = (pointer.windowEnd >> 3) - 2;
        const shift = (pointer.windowPosition >> 3) - start;
        for (; count < operations; count++) {
          const word = ((state >> 8) & mask) * 2;
          if (word < start || word > last) break;
          const at = (word + shift) | 0;
          sum += frames[at]! + frames[at + 1]!;
          state = nextRandom(state);
        }
      }
      sink[0]! += sum;
    },
    readLocated(operations) {
      let sum = 0;
      let state = 1;
      for (let count = 0; count < operations; count++) {
        state = nextRandom(state);
        const at = pointer.locate(((state >> 8) & mask) * 16, 16) >> 3;
        sum += frames[at]! + frames[at + 1]!;
      }
      sink[0]! += sum;
    },
    writePlain(operations) {
      let state = 1;
      for (let count = 0; count < operations; count++) {
        state = nextRandom(state);
        const at = ((state >> 8) & mask) * 2;
        plain[at] = count;
        plain[at + 1] = state;
      }
    },
    writeWindowed(operations) {
      let state = nextRandom(1);
      for (let count = 0; count < operations; ) {
        pointer.link(((state >> 8) & mask) * 16, true);
        const start = pointer.windowStart >> 3;
        const last = (pointer.windowEnd >> 3) - 2;
        const shift = (pointer.windowPosition >> 3) - start;
        for (; count < operations; count++) {
          const word = ((state >> 8) & mask) * 2;
          if (word < start || word > last) break;
          const at = (word + shift) | 0;
          frames[at] = count;
          frames[at + 1] = state;
          state = nextRandom(state);
        }
      }
    },
    writeLocated(operations) {
      let state = 1;
      for (let count = 0; count < operations; count++) {
        state = nextRandom(state);
        const at = pointer.locateToWrite(((state >> 8) & mask) * 16, 16) >> 3;
        frames[at] = count;
        frames[at + 1] = state;
      }
    },
  };
}

/** Items of many words. */
function itemLoops(heap: SecureHeap, bytes: number): Loops {
  const pointer = twoPages(heap);
  const frames = wordsOf(heap);
  const plain = new Float64Array(PAGE_BYTES / 8);
  const mask = PAGE_BYTES / bytes - 1;
  const words = bytes / 8;
  return {
    readPlain(operations) {
      let sum = 0;
      let state = 1;
      for (let count = 0; count < operations; count++) {
        state = nextRandom(state);
        const at = ((state >> 8) & mask) * words;
        for (let word = at; word < at + words; word++) sum += plain[word]!;
      }
      sink[0]! += sum;
    },
    readWindowed(operations) {
      let sum = 0;
      let state = nextRandom(1);
      for (let count = 0; count < operations; ) {
        pointer.link(((state >> 8) & mask) * bytes, false);
        const start = pointer.windowStart >> 3;
        const last = (pointer.windowEnd >> 3) - words;
        const shift = (pointer.windowPosition >> 3) - start;
        for (; count < operations; count++) {
          const item = ((state >> 8) & mask) * words;
          if (item < start || item > last) break;
          const at = (item + shift) | 0;
          for (let word = at; word < at + words; word++) sum += frames[word]!;
          state = nextRandom(state);
        }
      }
      sink[0]! += sum;
    },
    readLocated(operations) {
      let sum = 0;
      let state = 1;
      for (let count = 0; count < operations; count++) {
        state = nextRandom(state);
        const at = pointer.locate(((state >> 8) & mask) * bytes, bytes) >> 3;
        for (let word = at; word < at + words; word++) sum += frames[word]!;
      }
      sink[0]! += sum;
    },
    writePlain(operations) {
      let state = 1;
      for (let count = 0; count < operations; count++) {
        state = nextRandom(state);
        const at = ((state >> 8) & mask) * words;
        for (let word = at; word < at + words; word++) plain[word] = count;
      }
    },
    writeWindowed(operations) {
      let state = nextRandom(1);
      for (let count = 0; count < operations; ) {
        pointer.link(((state >> 8) & mask) * bytes, true);
        const start = pointer.windowStart >> 3;
        const last = (pointer.windowEnd >> 3) - words;
        const shift = (pointer.windowPosition >> 3) - start;
        for (; count < operations; count++) {
          const item = ((state >> 8) & mask) * words;
          if (item < start || item > last) break;
          const at = (item + shift) | 0;
          for (let word = at; word < at + words; word++) frames[word] = count;
          state = nextRandom(state);
        }
      }
    },
    writeLocated(operations) {
      let state = 1;
      for (let count = 0; count < operations; count++) {
        state = nextRandom(state);
        const at = pointer.locateToWrite(((state >> 8) & mask) * bytes, bytes) >> 3;
        for (let word = at; word < at + words; word++) frames[word] = count;
      }
    },
  };
}

/** One element at a time, in sequence: by chunks, by the accessors, and moving to another page every time. */
function elementRow(heap: SecureHeap, rounds: number): Row {
  const plain = new Float64Array(16 * 512);
  const array = new SecureArray(heap, 'f64', plain.length);
  const pages = heap.alloc(64 * PAGE_BYTES);
  pages.fill(1);
  const mask = plain.length - 1;
  const times = medians(rounds * 5, plain.length * 32, {
    plain(operations) {
      let sum = 0;
      for (let count = 0; count < operations; count++) sum += plain[count & mask]!;
      sink[0]! += sum;
    },
    chunks(operations) {
      let sum = 0;
      for (let count = 0; count < operations; count += plain.length) {
        for (const chunk of array.chunks()) {
          for (let index = 0; index < chunk.length; index++) sum += chunk[index]!;
        }
      }
      sink[0]! += sum;
    },
    array(operations) {
      let sum = 0;
      for (let count = 0; count < operations; count++) sum += array.get(count & mask);
      sink[0]! += sum;
    },
    pointer(operations) {
      let sum = 0;
      for (let count = 0; count < operations; count++) sum += pages.getFloat64((count & mask) * 8);
      sink[0]! += sum;
    },
    relinked(operations) {
      let sum = 0;
      for (let count = 0; count < operations; count++) sum += pages.getFloat64((count & 63) * PAGE_BYTES);
      sink[0]! += sum;
    },
  });
  return {
    what: 'element-read',
    plain_ns: round(times.plain),
    chunks_ns: round(times.chunks),
    chunks_ratio: round(times.chunks / times.plain),
    array_ns: round(times.array),
    array_ratio: round(times.array / times.plain),
    pointer_ns: round(times.pointer),
    pointer_ratio: round(times.pointer / times.plain),
    minor_fault_ns: round(times.relinked, 1),
  };
}
