import { Counter, type Layout, Quantity, Word } from './layout.ts';

export interface MemoryCounters {
  /** Pages that were in a frame when a pointer asked for one (Eleos' minor faults). Linked accesses are not counted. */
  readonly minorFaults: number;
  readonly majorFaults: number;
  readonly hitRatio: number;
  /** Pages that were loaded and opened, read ahead or not; and those that were never stored and began as zeros. */
  readonly pagesLoaded: number;
  readonly zeroPages: number;
  readonly cleanEvictions: number;
  readonly dirtyEvictions: number;
  readonly readAheadPages: number;
  readonly readAheadHits: number;
  /** Reads of sub-pages past the cache. */
  readonly directReads: number;
  readonly sealedBytes: number;
  readonly openedBytes: number;
  /** Milliseconds in major faults, estimated from one in 64. */
  readonly faultMilliseconds: number;
  readonly frames: number;
  readonly freeFrames: number;
  readonly blocks: number;
  /** With the headers of blocks. */
  readonly usedBytes: number;
}

export function readCounters({ words, quantities }: Layout): MemoryCounters {
  const counter = (name: keyof typeof Counter): number => quantities[Quantity.counters + Counter[name]]!;
  const minorFaults = counter('hits');
  const majorFaults = counter('faults');
  const timed = counter('timedFaults');
  return {
    minorFaults,
    majorFaults,
    hitRatio: minorFaults / Math.max(1, minorFaults + majorFaults),
    pagesLoaded: counter('pagesLoaded'),
    zeroPages: counter('zeroPages'),
    cleanEvictions: counter('cleanEvictions'),
    dirtyEvictions: counter('dirtyEvictions'),
    readAheadPages: counter('readAheadPages'),
    readAheadHits: counter('readAheadHits'),
    directReads: counter('directReads'),
    sealedBytes: counter('sealedBytes'),
    openedBytes: counter('openedBytes'),
    faultMilliseconds: timed === 0 ? 0 : (counter('timedMilliseconds') / timed) * majorFaults,
    frames: words[Word.limit]!,
    freeFrames: words[Word.freeFrames]!,
    blocks: quantities[Quantity.blocks]!,
    usedBytes: quantities[Quantity.usedBytes]!,
  };
}
