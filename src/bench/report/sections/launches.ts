import { barChart, groupChart } from '../charts.ts';
import { colour } from '../palette.ts';
import { formatBytes, threeDigits } from '../units.ts';
import { colourOf, groupBy, number, type SectionPlan, text, timeBar } from './section.ts';

/** Work that the host gives an enclave. */
export const launchSections: readonly SectionPlan[] = [
  {
    suite: 'launch',
    title: 'Launches',
    method:
      'A function of the enclave that does next to nothing, launched from the host: one at a time with a promise, one at a time with the host spinning for the outcome, and a thousand queued at once.',
    command: 'npm run -s sgxio -- bench launch',
    figures: (rows) => [
      {
        caption: 'Median time of a launch, logarithmic scale',
        draw: (width) =>
          barChart(
            rows.map((row) => ({
              ...timeBar(text(row, 'name'), number(row, 'p50_ns'), 0),
              colour: colour('blue'),
            })),
            width,
            Math.max(1, Math.min(...rows.map((row) => number(row, 'p50_ns'))) / 2),
          ),
      },
    ],
  },
  {
    suite: 'copy',
    title: 'Copies',
    method:
      'Into private memory and out of it, from memory that is pinned in the boundary and from memory that is not, plain and sealed; beside a copy of the same size within one process and the bare cipher.',
    command: 'npm run -s sgxio -- bench copy',
    figures: (rows) => [
      {
        caption: 'Gigabytes per second, more is better',
        draw: (width) =>
          barChart(
            rows
              .filter((row) => typeof row['gigabytes_per_s'] === 'number')
              .map((row) => ({
                name: `${text(row, 'name')}, ${formatBytes(number(row, 'bytes'))}`,
                value: number(row, 'gigabytes_per_s'),
                text: `${threeDigits(number(row, 'gigabytes_per_s'))} GB/s`,
                colour: text(row, 'name').includes('pinned') ? colour('blue') : colour('grey'),
              })),
            width,
          ),
      },
    ],
  },
  {
    suite: 'threads',
    title: 'Threads of an enclave',
    method:
      'Calls made by all threads of an enclave at once, and a thousand launches spread over them. Each thread has a worker of its own: without exits, an enclave of two threads keeps four threads looking.',
    command: 'npm run -s sgxio -- bench threads',
    figures: (rows) =>
      [...new Set(rows.map((row) => text(row, 'what')))].map((what) => ({
        caption: `${what} per second by all threads together, more is better`,
        draw: (width) =>
          groupChart(
            groupBy(
              // In place a call is a function: its bar would hide the others.
              rows.filter((row) => row['what'] === what && row['strategy'] !== 'direct'),
              (row) => `${number(row, 'threads')} ${number(row, 'threads') === 1 ? 'thread' : 'threads'}`,
              (row, index) => ({
                name: text(row, 'strategy'),
                value: number(row, 'per_second'),
                text: number(row, 'per_second').toLocaleString('en'),
                colour: colourOf(text(row, 'strategy'), index),
              }),
            ),
            width,
          ),
      })),
  },
];
