import { PUBLISHED_SERIES } from '../../parameter-server-figure.ts';
import { parameterServerSeries } from '../../parameter-server-series.ts';
import { barChart, type Curve, groupChart, lineChart } from '../charts.ts';
import type { SuiteRows } from '../data.ts';
import { colour } from '../palette.ts';
import { threeDigits } from '../units.ts';
import {
  COLOURS,
  colourOf,
  curvesBy,
  distinct,
  logAxis,
  number,
  powersOfTwo,
  type SectionPlan,
  text,
} from './section.ts';

/** Servers in an enclave. */
export const serverSections: readonly SectionPlan[] = [
  {
    suite: 'parameter-server',
    title: 'The parameter server',
    method:
      'Clients send encrypted updates of a private model of 2 MiB; the server calls once to receive and once to send for each. The requests are played from memory, so that the boundary is measured and no network; every reply is checked. Dashed curves are not measured here: exit-sgx charges each call a published cost of an SGX exit, and two are read off figure 6a of Eleos (EuroSys 2017).',
    command: 'npm start',
    figures: (rows) => [
      {
        caption: 'Slowdown against the same program in place, logarithmic scales',
        draw: (width) =>
          lineChart(
            parameterServerCurves(rows),
            logAxis('items per request', powersOfTwo(rows, 'items'), "format(datum.value, 'd')"),
            logAxis('slowdown', [0.7, 1, 1.5, 2, 3, 5, 10, 20, 50], "format(datum.value, '~g') + ' ×'"),
            width,
          ),
      },
    ],
  },
  {
    suite: 'large-model',
    title: 'A model larger than private memory',
    method:
      'The same server, an item per request, with a model that is larger than its 64 MiB of private memory: pages of it lie sealed in untrusted memory. Set against the same program in place, with all of it in memory and nothing sealed. Published by Eleos (EuroSys 2017, figure 1) for 512 MiB: 6.6 without exits, 33.6 with SGX.',
    figures: (rows) => [
      {
        caption: 'Slowdown against the same program in place',
        draw: (width) =>
          barChart(
            rows.map((row, index) => ({
              name: text(row, 'strategy'),
              value: number(row, 'slowdown'),
              text: `${threeDigits(number(row, 'slowdown'))} ×`,
              colour: colourOf(text(row, 'strategy'), index),
            })),
            width,
          ),
      },
    ],
  },
  {
    suite: 'echo',
    title: 'An echo server over TCP',
    method:
      'The same server in an enclave, with an exit for each call, in place, and an unprotected one of Node. Messages of 64 bytes from a client process of its own, one on its way on each connection; servers take turns.',
    figures: (rows) => [
      {
        caption: 'Requests per second, more is better',
        draw: (width) =>
          lineChart(
            curvesBy(rows, 'name', 'connections', 'requests_per_s'),
            logAxis('connections', distinct(rows, 'connections'), "format(datum.value, ',d')"),
            { title: 'requests per second', log: false },
            width,
          ),
      },
    ],
  },
  {
    suite: 'scale',
    title: 'Many connections',
    method:
      'Whether a request costs the same however many connections are open while only a few have a message on its way. Processor time counts the server and, for an enclave, its host.',
    figures: (rows) => [
      {
        caption: 'Time of a request by open connections',
        draw: (width) =>
          lineChart(
            curvesBy(rows, 'name', 'connections', 'us_per_request'),
            logAxis('open connections', distinct(rows, 'connections'), "format(datum.value, ',d')"),
            { title: 'µs per request', log: false },
            width,
          ),
      },
    ],
  },
  {
    suite: 'idle',
    title: 'An idle enclave',
    method:
      'What a server uses that has open connections and nothing to do: processor time of its process and of its host, as a share of one core.',
    figures: (rows) => [
      {
        caption: 'Processor time while idle, in percent of a core',
        draw: (width) =>
          barChart(
            rows.map((row, index) => ({
              name: text(row, 'name'),
              value: number(row, 'processor_percent'),
              text: `${number(row, 'processor_percent')} %`,
              colour: colourOf(text(row, 'name'), index),
            })),
            width,
          ),
      },
    ],
  },
  {
    suite: 'one-core',
    title: 'All on one core',
    method:
      'The echo server, its worker and its client bound to one core by taskset, beside the same on all cores; 8 connections.',
    figures: (rows) => [
      {
        caption: 'Requests per second, more is better',
        draw: (width) =>
          groupChart(
            rows.map((row, index) => ({
              name: text(row, 'name'),
              bars: (['all', 'one'] as const).map((cores) => {
                const rate = number(row, `${cores}_core${cores === 'all' ? 's' : ''}_requests_per_s`);
                return {
                  name: cores === 'all' ? 'all cores' : 'one core',
                  value: rate,
                  text: rate.toLocaleString('en'),
                  colour: colourOf(text(row, 'name'), index),
                };
              }),
            })),
            width,
          ),
      },
    ],
  },
];

/** Of the curves that are not measured here, which follow the three that are. */
const OTHER_CURVES: readonly string[] = [
  colour('orange'),
  colour('purple'),
  colour('sky'),
  colour('grey'),
  colour('green'),
];

function parameterServerCurves(rows: SuiteRows): Curve[] {
  const { series } = parameterServerSeries({
    suite: 'parameter-server',
    wire: 'memory',
    verified: true,
    modelMib: 2,
    rows,
  });
  const published = new Set(PUBLISHED_SERIES);
  const names = { modelled: 'exit-sgx, ', published: '' } as const;
  return series
    .filter(({ points }) => points.length > 0)
    .map((curve, index) => ({
      name:
        curve.origin === 'measured'
          ? curve.name
          : `${names[curve.origin]}${curve.name}${published.has(curve) ? ' (Eleos 2017)' : ''}`,
      colour: COLOURS[curve.name] ?? OTHER_CURVES[index % OTHER_CURVES.length]!,
      dashed: curve.origin !== 'measured',
      points: curve.points.map(({ items, slowdown }) => ({ x: items, y: slowdown })),
    }));
}
