import { storeRows } from './memory/faults.ts';
import { hitRows } from './memory/hits.ts';
import { subPageRows, traceRows } from './memory/reads.ts';
import type { Row, Scale } from './memory/support.ts';
import { workRows } from './memory/work.ts';

const FULL: Scale = {
  rounds: 7,
  cacheMib: 64,
  storesMib: [200, 1024, 4096],
  workMib: 512,
  workCacheMib: 64,
  traceSteps: 400_000,
};
const QUICK: Scale = {
  rounds: 3,
  cacheMib: 16,
  storesMib: [64, 256],
  workMib: 32,
  workCacheMib: 4,
  traceSteps: 60_000,
};

/**
 * Measures secure memory against what bounds it: plain typed arrays where nothing faults, and the bare cipher with a
 * copy where something does. What is compared is measured in turns, and medians are given.
 */
export async function memorySuite(options: {
  quick?: boolean;
  onProgress?: (line: string) => void;
}): Promise<{ suite: 'memory'; rows: Row[] }> {
  const scale = options.quick === true ? QUICK : FULL;
  const rows: Row[] = [];
  const parts: ((scale: Scale) => Iterable<Row>)[] = [hitRows, storeRows, subPageRows, traceRows, workRows];
  for (const part of parts) {
    for (const row of part(scale)) {
      rows.push(row);
      options.onProgress?.(
        Object.entries(row)
          .map((field) => field.join(' '))
          .join('  '),
      );
      // Gives the caller's own tasks a turn.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  return { suite: 'memory', rows };
}
