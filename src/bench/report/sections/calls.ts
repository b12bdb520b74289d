import { barChart, lineChart, stackChart } from '../charts.ts';
import type { SuiteRows } from '../data.ts';
import { colour } from '../palette.ts';
import { formatNanoseconds, threeDigits } from '../units.ts';
import {
  colourOf,
  curvesBy,
  distinct,
  logAxis,
  NANOSECOND_LABEL,
  number,
  type SectionFigure,
  type SectionPlan,
  text,
  timeBar,
} from './section.ts';

/** What calls cost, and where they do not pay. */
export const callSections: readonly SectionPlan[] = [
  {
    suite: 'call',
    title: 'A call that does nothing',
    method:
      'What asking the host costs when it has nothing to do. The bare exchange of two words between the same two processes is the floor; in-place is the same program without an enclave; post-message goes to a worker thread and back. Each call is timed by itself, the cost of the clock taken off; medians over interleaved rounds. Processor time is the mean of a call on both sides, with the clock and the launch of the measurement.',
    command: 'npm run -s sgxio -- bench call',
    figures: (rows) => [
      {
        caption: 'Median time of a call, logarithmic scale',
        draw: (width) =>
          barChart(
            rows.map((row, index) => timeBar(text(row, 'name'), number(row, 'p50_ns'), index)),
            width,
            Math.max(1, Math.min(...rows.map((row) => number(row, 'p50_ns'))) / 2),
          ),
      },
    ],
  },
  {
    suite: 'profile',
    title: 'What one exit-less call is made of',
    method:
      'The real parts of both sides run on one thread in batches of 64 calls: the books of the enclave alone (encode), the same with the entry written to the ring (the difference is publish), all that a worker does for an entry (serve), the look at the answer and its books (check), and, where a call has a payload, 64 bytes through the arena (copy). There every cache line is at hand; what is left of a whole call between an enclave and its worker is wait: the time that lines take to cross between cores, that looks come too late, and that others take the cores.',
    command: 'npm run -s sgxio -- bench profile',
    figures: (rows) => {
      const parts = rows.filter((row) => 'ns' in row && row['side'] !== 'measured');
      const colours = ['blue', 'sky', 'grey', 'vermilion', 'green', 'orange'];
      return [
        {
          caption: 'Parts of one call, in the order in which it goes through them',
          draw: (width) =>
            stackChart(
              parts.map((row, index) => ({
                name: text(row, 'part'),
                value: number(row, 'ns'),
                text: formatNanoseconds(number(row, 'ns')),
                colour: colour(colours[index]!),
              })),
              width,
            ),
        },
      ];
    },
  },
  {
    suite: 'start',
    title: 'Start',
    method:
      'From Enclave.create until the program is loaded and locked down, in turn with a process of Node that does nothing but say that it has started.',
    command: 'npm run -s sgxio -- bench start',
    figures: (rows) => [
      {
        caption: 'Median time until a program runs',
        draw: (width) =>
          barChart(
            rows.map((row, index) => ({
              name: text(row, 'name'),
              value: number(row, 'p50_ms'),
              text: `${threeDigits(number(row, 'p50_ms'))} ms`,
              colour: colourOf(text(row, 'name'), index),
            })),
            width,
          ),
      },
    ],
  },
  {
    suite: 'crossover',
    title: 'Where it does not pay',
    method:
      'A transfer brings bytes that the host has at hand, in calls of at most 64 KiB: what differs is the way of asking, and the copy through the boundary that a program in place does not make. The cheapest call reads the clock. Both are repeated while a process for each core computes without a pause.',
    command: 'npm run -s sgxio -- bench crossover',
    figures: crossoverFigures,
  },
];

function crossoverFigures(rows: SuiteRows): readonly SectionFigure[] {
  const transfers = rows.filter((row) => row['what'] === 'transfer');
  const clocks = (what: string): SectionFigure['draw'] => {
    const chosen = rows.filter((row) => row['what'] === what);
    const least = Math.min(...chosen.map((row) => number(row, 'p50_ns')));
    return (width) =>
      barChart(
        chosen.map((row, index) => timeBar(text(row, 'strategy'), number(row, 'p50_ns'), index)),
        width,
        Math.max(1, least / 2),
      );
  };
  return [
    {
      caption: 'Time of a transfer by its bytes, logarithmic scales',
      draw: (width) =>
        lineChart(
          curvesBy(transfers, 'strategy', 'bytes', 'p50_ns'),
          logAxis('bytes', distinct(transfers, 'bytes'), "format(datum.value, '~s')"),
          logAxis('time', [100, 1e3, 1e4, 1e5, 1e6, 1e7], NANOSECOND_LABEL),
          width,
        ),
    },
    { caption: 'Reading the clock, logarithmic scale', draw: clocks('clock') },
    { caption: 'The same while every core is taken', draw: clocks('clock, cores taken') },
  ];
}
