import type { Row } from '../../suite.ts';
import { type ReportData, rowsOf } from '../data.ts';
import { formatNanoseconds, threeDigits } from '../units.ts';
import { type Finding, type Goal, judgeWorst, numberOf, rowWith } from './goal.ts';

/** Memory beyond private memory. */

const FAULT_TO_FLOOR_MAX = 1.6;
const POINTER_TO_PLAIN_MAX = 1.1;
const HARDWARE_TO_FAULT_MIN = 3;
const LARGE_STORE_MAX = 1.3;
const LARGE_STORE_MIB = 4096;

export type MemoryGoal = 'fault-clean' | 'fault-dirty' | 'fault-hardware' | 'large-store' | 'pointer';

export const memoryGoals: Readonly<Record<MemoryGoal, Goal>> = {
  'fault-clean': faultGoal('clean', 'Eleos 8,500 cycles, SGX 40,000'),
  'fault-dirty': faultGoal('dirty', 'Eleos 14,000 cycles, SGX 40,000'),
  'fault-hardware': {
    figure: 'page fault, clean and dirty',
    anchor: 'the hardware fault of SGX: 40,000 cycles at the clock that is named',
    goal: `≥ ${HARDWARE_TO_FAULT_MIN} × faster`,
    suite: 'memory',
    judge: (data) =>
      worstOf(faults(data), 'hardware_ratio', HARDWARE_TO_FAULT_MIN, 'least', (row) => {
        const time = formatNanoseconds(numberOf(row, 'fault_ns') ?? 0);
        return `${kindOf(row)}, ${time} with a store of ${row['store_mib']} MiB`;
      }),
    explain: (data) => {
      const reach = faults(data).map((row) => {
        const ratio = (numberOf(row, 'hardware_fault_ns') ?? 0) / (numberOf(row, 'floor_ns') ?? 1);
        return `${threeDigits(ratio)} × for ${kindOf(row)} with ${row['store_mib']} MiB`;
      });
      return `The floor of the same run, OpenSSL's cipher and a copy and nothing else, is faster than the hardware's by ${reach.join(', ')}.`;
    },
  },
  'large-store': {
    figure: 'page fault with a store of 4 GiB',
    anchor: 'the same with one of 200 MiB',
    goal: `≤ ${LARGE_STORE_MAX} × its time`,
    suite: 'memory',
    judge: (data) => {
      const row = rowWith(data, 'memory', { what: 'fault-clean', store_mib: LARGE_STORE_MIB });
      const ratio = numberOf(row, 'against_first_ratio');
      if (row === undefined || ratio === undefined) return undefined;
      return judgeWorst([{ ratio, where: '', rows: [row] }], {
        limit: LARGE_STORE_MAX,
        is: 'most',
        words: '',
      });
    },
    explain: explainLargeStore,
  },
  pointer: {
    figure: 'secure pointer, no fault',
    anchor: 'plain typed arrays; Eleos 10 to 25 % more',
    goal: '≤ 10 % more, for items of every size, read and written',
    suite: 'memory',
    judge: (data) =>
      worstOf(
        hits(data),
        'ratio',
        POINTER_TO_PLAIN_MAX,
        'most',
        (row) => `${row['what'] === 'hit-read' ? 'reading' : 'writing'} items of ${row['bytes']} bytes`,
      ),
    explain: (data) => {
      const missed = hits(data).filter((row) => (numberOf(row, 'ratio') ?? 0) > POINTER_TO_PLAIN_MAX);
      const parts = missed.map((row) => {
        const [plain, linked] = [numberOf(row, 'plain_ns') ?? 0, numberOf(row, 'linked_ns') ?? 0];
        return `${threeDigits(linked - plain)} ns beside ${threeDigits(plain)} for ${row['bytes']} bytes ${row['what'] === 'hit-read' ? 'read' : 'written'}`;
      });
      return `A linked pointer adds a comparison and an addition to an access, whatever its size: ${parts.join(', ')}. Larger items meet the goal because their bytes take longer.`;
    },
  },
};

function faultGoal(kind: 'clean' | 'dirty', published: string): Goal {
  return {
    figure: `page fault, ${kind}`,
    anchor: `AES-GCM of OpenSSL over 4 KiB and a copy; ${published}`,
    goal: `≤ ${FAULT_TO_FLOOR_MAX} × that floor, for stores of every size`,
    suite: 'memory',
    judge: (data) =>
      worstOf(
        rowsOf(data, 'memory').filter((row) => row['what'] === `fault-${kind}`),
        'floor_ratio',
        FAULT_TO_FLOOR_MAX,
        'most',
        (row) =>
          `${formatNanoseconds(numberOf(row, 'fault_ns') ?? 0)} with a store of ${row['store_mib']} MiB`,
      ),
    explain: (data) => explainFault(data, kind),
  };
}

/** What a fault takes beyond its floor, by the size of the store: with the smallest all lies in the processor's caches. */
function explainFault(data: ReportData, kind: 'clean' | 'dirty'): string | undefined {
  const parts = rowsOf(data, 'memory')
    .filter((row) => row['what'] === `fault-${kind}`)
    .flatMap((row) => {
      const [fault, floor] = [numberOf(row, 'fault_ns'), numberOf(row, 'floor_ns')];
      if (fault === undefined || floor === undefined) return [];
      return [
        `${formatNanoseconds(fault - floor)} beyond ${formatNanoseconds(floor)} with ${row['store_mib']} MiB`,
      ];
    });
  const minor = rowsOf(data, 'memory').find((row) => 'minor_fault_ns' in row)?.['minor_fault_ns'];
  if (parts.length === 0 || minor === undefined) return undefined;
  return `Time beyond the floor, by the size of the store: ${parts.join(', ')}. Linking a page that is there takes ${minor} ns of it; the rest chooses and unlinks a victim, and checks the version and the place of the page. With the smallest store all of that lies in the processor's caches; what more the larger ones take is memory that is read for it.`;
}

function explainLargeStore(data: ReportData): string | undefined {
  const rows = rowsOf(data, 'memory').filter(({ what }) => what === 'fault-clean');
  const [first, large] = [
    rows[1],
    rowWith(data, 'memory', { what: 'fault-clean', store_mib: LARGE_STORE_MIB }),
  ];
  const [fault, floor] = (['fault_ns', 'floor_ns'] as const).map((field) =>
    [first, large].map((row) => numberOf(row, field)),
  ) as [(number | undefined)[], (number | undefined)[]];
  if ([...fault, ...floor].includes(undefined)) return undefined;
  const [from, to] = [fault, floor].map(([before, after]) => after! - before!) as [number, number];
  return `From ${first?.['store_mib']} to ${LARGE_STORE_MIB} MiB a fault takes ${formatNanoseconds(from)} more, of which the floor of bare cipher and copy, over at most 512 MiB, takes ${formatNanoseconds(to)}: memory that is farther away. The rest is the tables of the store, which grow with it.`;
}

function faults(data: ReportData): Row[] {
  return rowsOf(data, 'memory').filter(({ what }) => what === 'fault-clean' || what === 'fault-dirty');
}

function hits(data: ReportData): Row[] {
  return rowsOf(data, 'memory').filter(({ what }) => what === 'hit-read' || what === 'hit-write');
}

function kindOf(row: Row): string {
  return `a ${row['what'] === 'fault-clean' ? 'clean' : 'dirty'} one`;
}

function worstOf(
  rows: readonly Row[],
  field: string,
  limit: number,
  is: 'most' | 'least',
  describe: (row: Row) => string,
): Finding | undefined {
  const ratios = rows.flatMap((row) => {
    const ratio = numberOf(row, field);
    return ratio === undefined ? [] : [{ ratio, where: describe(row), rows: [row] }];
  });
  return judgeWorst(ratios, { limit, is, words: '' });
}
