import { rounded } from '../../suite.ts';
import { type Bar, type BarGroup, barChart, groupChart } from '../charts.ts';
import type { SuiteRows } from '../data.ts';
import { colour } from '../palette.ts';
import { formatBytes, formatNanoseconds, threeDigits } from '../units.ts';
import {
  colourOf,
  distinct,
  groupBy,
  number,
  type SectionFigure,
  type SectionPlan,
  text,
} from './section.ts';

/** Files, and memory beyond private memory. */
export const storageSections: readonly SectionPlan[] = [
  {
    suite: 'files',
    title: 'Files of the host',
    method:
      "Reads of a file of 64 MiB on the host, in the kernel's page cache and, uncached, past it: by node:fs, by a program in an enclave, and by the same program in place. One at a time is synchronous, several at once asynchronous. The hand-over of the bytes alone reads nothing: one core copies them into shared memory and another out of it. Processor time counts both sides.",
    command: 'npm run -s sgxio -- bench files',
    figures: (rows) => [
      {
        caption: 'Time of a read, less is better',
        draw: (width) =>
          groupChart(
            groupBy(
              rows,
              (row) =>
                `${text(row, 'workload')}, ${formatBytes(number(row, 'read_bytes'))}, ${number(row, 'reads_at_once')} at once`,
              (row, index) => ({
                name: text(row, 'name'),
                value: number(row, 'us_per_read'),
                text: `${threeDigits(number(row, 'us_per_read'))} µs`,
                colour: colourOf(text(row, 'name'), index),
              }),
            ),
            width,
          ),
      },
    ],
  },
  {
    suite: 'engines',
    title: 'Two ways to wait for a disk',
    method:
      'Reads that miss the page cache and writes, 4 KiB each, by the two engines that a worker has for calls that block: threads that make system calls, and io_uring. The worker alone, without an enclave.',
    command: 'npm run -s sgxio -- bench engines',
    figures: (rows) =>
      [
        ['wall_us_per_call', 'Time of a call, less is better'] as const,
        ['processor_us_per_call', 'Processor time of a call'] as const,
      ].map(([field, caption]) => ({
        caption,
        draw: (width) =>
          groupChart(
            groupBy(
              rows,
              (row) => `${text(row, 'kind')}, ${number(row, 'calls_at_once')} at once`,
              (row) => ({
                name: text(row, 'name'),
                value: number(row, field),
                text: `${threeDigits(number(row, field))} µs`,
                colour: colour(text(row, 'name') === 'pool' ? 'grey' : 'blue'),
              }),
            ),
            width,
          ),
      })),
  },
  {
    suite: 'protected-files',
    title: 'Protected files',
    method:
      "Files that the host holds and cannot read, change or put back, with 8 MiB of cache in private memory: beside plain files of the host through the same enclave, node:fs, and gocryptfs where it is installed. SQLite books transactions, each of which is synced. A file that is cold is larger than the cache, a warm one fits. What the host reads comes from the kernel's page cache. Cores are processor time by time on the wall, of both sides.",
    command: 'npm run -s sgxio -- bench protected-files',
    figures: protectedFilesFigures,
  },
  {
    suite: 'memory',
    title: 'Memory beyond private memory',
    method:
      'Pages of 4 KiB in untrusted memory, sealed with AES-GCM. A clean fault opens one page, a dirty one seals another first; the floor is the cipher of OpenSSL with a copy, over as much memory. Without a fault, a secure pointer is set against a plain typed array.',
    figures: (rows) => [
      {
        caption: 'Time of a page fault beside its floor',
        draw: (width) => barChart(rows.flatMap(faultBars), width),
      },
      {
        caption: 'Access without a fault, plain typed array = 1',
        draw: (width) =>
          barChart(
            rows.filter((row) => String(row['what']).startsWith('hit-') && 'ratio' in row).map(hitBar),
            width,
          ),
      },
    ],
  },
];

function faultBars(row: SuiteRows[number]): Bar[] {
  const what = text(row, 'what');
  if (!what.startsWith('fault-')) return [];
  const name = `${what.slice('fault-'.length)}, store of ${number(row, 'store_mib')} MiB`;
  const [fault, floor] = [number(row, 'fault_ns'), number(row, 'floor_ns')];
  return [
    { name, value: fault, text: formatNanoseconds(fault), colour: colour('blue') },
    { name: `${name}: floor`, value: floor, text: formatNanoseconds(floor), colour: colour('grey') },
  ];
}

function hitBar(row: SuiteRows[number]): Bar {
  const ratio = number(row, 'ratio');
  const writes = text(row, 'what') === 'hit-write';
  return {
    name: `${writes ? 'write' : 'read'} ${number(row, 'bytes')} bytes`,
    value: ratio,
    text: `${rounded(ratio, 2)} ×`,
    colour: colour(writes ? 'vermilion' : 'blue'),
  };
}

/** Who takes part stands in the name of a figure, before its unit. */
const UNITS = [
  { suffix: '_mib_per_second', unit: 'MiB/s', caption: 'Bandwidth, more is better' },
  {
    suffix: '_milliseconds',
    unit: 'ms',
    caption: 'Time of a thousand random writes and a sync, less is better',
  },
  { suffix: '_microseconds', unit: 'µs', caption: 'Time of an operation on a small file, less is better' },
  {
    suffix: '_transactions_per_second',
    unit: 'a second',
    caption: 'Transactions per second, more is better',
  },
] as const;
const CONTENDER_COLOURS: Readonly<Record<string, string>> = {
  node_fs: colour('grey'),
  plain: colour('sky'),
  protected: colour('blue'),
  gocryptfs: colour('orange'),
  protected_with_journal: colour('purple'),
};

/** A figure for each unit; bandwidth in the smallest pieces apart from the others, which are much faster. */
function protectedFilesFigures(rows: SuiteRows): readonly SectionFigure[] {
  const least = Math.min(
    ...distinct(
      rows.filter((row) => 'chunk_bytes' in row),
      'chunk_bytes',
    ),
  );
  const figures = UNITS.flatMap(({ suffix, unit, caption }) => {
    const measured = rows.filter((row) => contendersOf(row, suffix).length > 1);
    const small = measured.filter((row) => row['chunk_bytes'] === least);
    const parts =
      unit === 'MiB/s'
        ? [
            { caption: `${caption}: pieces of ${formatBytes(least)}`, rows: small },
            { caption: `${caption}: larger pieces`, rows: measured.filter((row) => !small.includes(row)) },
          ]
        : [{ caption, rows: measured }];
    return parts.map((part) => ({ ...part, suffix, unit }));
  });
  return figures
    .filter((figure) => figure.rows.length > 0)
    .map(({ caption, rows: drawn, suffix, unit }) => ({
      caption,
      draw: (width) =>
        groupChart(
          drawn.map((row) => contenderBars(row, suffix, unit)),
          width,
        ),
    }));
}

function contendersOf(row: SuiteRows[number], suffix: string): string[] {
  return Object.keys(row).filter((key) => key.endsWith(suffix) && typeof row[key] === 'number');
}

function contenderBars(row: SuiteRows[number], suffix: string, unit: string): BarGroup {
  const chunk = 'chunk_bytes' in row ? `, ${formatBytes(number(row, 'chunk_bytes'))}` : '';
  return {
    name: `${text(row, 'what')}${chunk}`,
    bars: contendersOf(row, suffix).map((key, index) => {
      const contender = key.slice(0, -suffix.length);
      return {
        name: contender.replace('node_fs', 'node:fs').replaceAll('_', ' '),
        value: number(row, key),
        text: `${threeDigits(number(row, key))} ${unit}`,
        colour: CONTENDER_COLOURS[contender] ?? colourOf(contender, index),
      };
    }),
  };
}
