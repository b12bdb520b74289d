import { PUBLISHED_SERIES } from '../parameter-server-figure.ts';
import { parameterServerSeries } from '../parameter-server-series.ts';
import { rounded } from '../suite.ts';
import { type Axis, type Bar, barChart, type Curve, lineChart, stackChart, type Width } from './charts.ts';
import { type ReportData, rowsOf, type SuiteRows } from './data.ts';
import { colour } from './palette.ts';
import { formatBytes, formatNanoseconds, threeDigits } from './units.ts';

type Spec = ReturnType<typeof barChart>;

/** One drawing, in either width. */
export interface SectionFigure {
  /** Says what is drawn, in a sentence or less. */
  readonly caption: string;
  draw(width: Width): Spec;
}

/** A suite as the page shows it. */
export interface Section {
  readonly suite: string;
  readonly title: string;
  /** What was measured and how. */
  readonly method: string;
  /** Prints the table again, without the report. */
  readonly command?: string;
  readonly figures: readonly SectionFigure[];
}

/** The colour of each strategy and server, the same in every figure. */
const COLOURS: Readonly<Record<string, string>> = {
  exitless: colour('blue'),
  'exitless-async': colour('sky'),
  'exitless, tasks': colour('sky'),
  exit: colour('vermilion'),
  direct: colour('ink'),
  'in-place': colour('ink'),
  'ping-pong': colour('green'),
  'node:net': colour('grey'),
  node: colour('grey'),
  'post-message': colour('grey'),
};
const OTHERS: readonly string[] = [colour('orange'), colour('purple'), colour('green'), colour('sky')];

function colourOf(name: string, index: number): string {
  return COLOURS[name] ?? OTHERS[index % OTHERS.length]!;
}

/** The sections of all suites that were run, in the order of the page. */
export function sectionsOf(data: ReportData): Section[] {
  return SECTIONS.flatMap(({ figures, ...section }) => {
    const rows = rowsOf(data, section.suite);
    return rows.length === 0 ? [] : [{ ...section, figures: figures(rows) }];
  });
}

interface SectionPlan extends Omit<Section, 'figures'> {
  figures(rows: SuiteRows): readonly SectionFigure[];
}

const SECTIONS: readonly SectionPlan[] = [
  {
    suite: 'call',
    title: 'A call that does nothing',
    method:
      'What asking the host costs when it has nothing to do. The bare exchange of two words between the same two processes is the floor; in-place is the same program without an enclave; post-message goes to a worker thread and back. Each call is timed by itself, the cost of the clock taken off; medians over interleaved rounds.',
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
      const parts = rows.filter((row) => row['side'] !== 'measured');
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

const NANOSECOND_LABEL =
  "datum.value >= 1e6 ? datum.value / 1e6 + ' ms' : datum.value >= 1e3 ? datum.value / 1e3 + ' µs' : datum.value + ' ns'";

function number(row: SuiteRows[number], field: string): number {
  return Number(row[field]);
}

function text(row: SuiteRows[number], field: string): string {
  return String(row[field]);
}

function timeBar(name: string, nanoseconds: number, index: number): Bar {
  return {
    name,
    value: Math.max(nanoseconds, 1),
    text: formatNanoseconds(nanoseconds),
    colour: colourOf(name, index),
  };
}

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

function distinct(rows: SuiteRows, field: string): number[] {
  return [...new Set(rows.map((row) => number(row, field)))].sort((left, right) => left - right);
}

function powersOfTwo(rows: SuiteRows, field: string): number[] {
  const most = Math.max(...distinct(rows, field), 64);
  return Array.from({ length: Math.floor(Math.log2(most)) + 1 }, (_, power) => 2 ** power);
}

function logAxis(title: string, ticks: readonly number[], label: string): Axis {
  return { title, log: true, ticks, label };
}

function curvesBy(rows: SuiteRows, name: string, x: string, y: string): Curve[] {
  return [...new Set(rows.map((row) => text(row, name)))].map((curve, index) => ({
    name: curve,
    colour: colourOf(curve, index),
    dashed: curve.startsWith('exit-sgx'),
    points: rows
      .filter((row) => row[name] === curve)
      .map((row) => ({ x: number(row, x), y: number(row, y) })),
  }));
}

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
