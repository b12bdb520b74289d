import type { ComparedRow, Comparison } from '../../comparison.ts';
import type { Row } from '../../suite.ts';
import { type ReportData, rowsOf } from '../data.ts';
import { formatBytes, formatNanoseconds, threeDigits } from '../units.ts';
import {
  callNanoseconds,
  divide,
  type Finding,
  type Goal,
  isRatio,
  judgeWorst,
  numberOf,
  rowWith,
} from './goal.ts';

/** Launches, graphs and copies. */

const EVENT_LOOP_MAX = 10_000;
const SPINNING_MAX = 1000;
const QUEUED_MIN = 500_000;
const POOLS_MIN = 5;
const GRAPH_MAX = 3;
const COPY_MIN = 0.8;
const SEALED_MIN = 0.7;
const PIPELINE_MAX = 1.15;

export const POOLS: readonly string[] = ['piscina', 'tinypool', 'workerpool', 'comlink'];
export const TINY_JOBS = 'Tiny jobs, a thousand at once';

const GRAPH_STEPS = 20;
const EMPTY = 'empty';
const SPINNING = 'empty, spinning';
const QUEUED = 'empty, 1000 queued at once';
const QUEUED_NUMBERS = 'two numbers, 1000 queued at once';

export type LaunchGoal =
  | 'launch'
  | 'launch-spinning'
  | 'launch-queued'
  | 'launch-pools'
  | 'graph'
  | 'copy'
  | 'copy-sealed'
  | 'pipeline';

export const launchGoals: Readonly<Record<LaunchGoal, Goal>> = {
  launch: launchGoal('an event loop', EMPTY, EVENT_LOOP_MAX),
  'launch-spinning': launchGoal('a thread that spins', SPINNING, SPINNING_MAX),
  'launch-queued': {
    figure: 'a thousand launches queued at once',
    anchor: 'an absolute rate',
    goal: `≥ ${QUEUED_MIN.toLocaleString('en')} a second`,
    suite: 'launch',
    judge: (data) => {
      const row = rowWith(data, 'launch', { name: QUEUED });
      const rate = numberOf(row, 'launches_per_s');
      if (row === undefined || rate === undefined) return undefined;
      return { measured: `${rate.toLocaleString('en')} a second`, met: rate >= QUEUED_MIN, rows: [row] };
    },
    explain: (data) => {
      const row = rowWith(data, 'launch', { name: QUEUED });
      const [wall, processor] = ['p50_ns', 'processor_ns_per_launch'].map((field) => numberOf(row, field));
      const alone = numberOf(rowWith(data, 'launch', { name: EMPTY }), 'processor_ns_per_launch');
      if (wall === undefined || processor === undefined || alone === undefined) return undefined;
      return `A launch out of a thousand takes ${formatNanoseconds(wall)} and ${formatNanoseconds(processor)} of processor time on both sides together (alone ${formatNanoseconds(alone)}), where the goal leaves ${formatNanoseconds(1e9 / QUEUED_MIN)}. There is no waiting in it to be saved: a promise, an entry and its check on the host, the function and its outcome in the enclave.`;
    },
  },
  'launch-pools': {
    figure: 'tiny jobs, a thousand at once',
    anchor: 'the fastest of piscina, tinypool, workerpool and comlink',
    goal: `≥ ${POOLS_MIN} × its rate`,
    suite: TINY_JOBS,
    judge: judgePools,
    explain: (data) => {
      const [empty, numbers] = [QUEUED, QUEUED_NUMBERS].map((name) =>
        formatNanoseconds(numberOf(rowWith(data, 'launch', { name }), 'p50_ns') ?? 0),
      );
      return `In the same run a launch out of a thousand takes ${empty} when it is empty and ${numbers} with two numbers and their sum: what the job costs is its arguments and its result, which are encoded, bounded and checked on both sides, while pools hand theirs to the serializer of V8 and trust it.`;
    },
  },
  graph: {
    figure: 'a graph of 20 empty steps',
    anchor: 'a single launch',
    goal: `≤ ${GRAPH_MAX} × its time`,
    suite: 'launch',
    judge: (data) => {
      const graph = rowsOf(data, 'launch').find((row) => String(row['name']).startsWith('graph'));
      const ratio = divide(graph, rowWith(data, 'launch', { name: EMPTY }), 'p50_ns', '');
      return ratio && judgeWorst([ratio], { limit: GRAPH_MAX, is: 'most', words: '' });
    },
    explain: (data) => {
      const graph = rowsOf(data, 'launch').find((row) => String(row['name']).startsWith('graph'));
      const [whole, single, spinning] = [
        graph,
        ...[EMPTY, SPINNING].map((name) => rowWith(data, 'launch', { name })),
      ].map((row) => numberOf(row, 'p50_ns'));
      if (whole === undefined || single === undefined || spinning === undefined) return undefined;
      const steps = GRAPH_STEPS - 1;
      return `Each step after the first takes ${formatNanoseconds((whole - single) / steps)}, where the goal leaves ${formatNanoseconds(((GRAPH_MAX - 1) * single) / steps)}. A single launch takes ${formatNanoseconds(single)} in the same run, from a thread that spins ${formatNanoseconds(spinning)}.`;
    },
  },
  copy: {
    figure: 'copies of pinned memory, in and out',
    anchor: 'memcpy of as much between two buffers of one process',
    goal: `≥ ${COPY_MIN} of its bandwidth, from 1 MiB on`,
    suite: 'copy',
    judge: (data) => copyShare(data, ['pinned, in', 'pinned, out'], 'memcpy in one process', COPY_MIN),
    explain: (data) => {
      const rates = rowsOf(data, 'copy')
        .filter(({ name }) => name === 'pinned, in' || name === 'memcpy in one process')
        .map(
          (row) => `${row['name']} ${row['gigabytes_per_s']} GB/s for ${formatBytes(Number(row['bytes']))}`,
        );
      return `What the copy engine reads comes out of another core's cache, what memcpy reads out of its own for as long as both buffers fit: ${rates.join(', ')}.`;
    },
  },
  'copy-sealed': {
    figure: 'copies sealed on their way, in and out',
    anchor: 'AES-256-GCM of node:crypto over as much',
    goal: `≥ ${SEALED_MIN} of its bandwidth`,
    suite: 'copy',
    judge: (data) =>
      copyShare(
        data,
        ['pinned and sealed, in', 'pinned and sealed, out'],
        'AES-256-GCM of node:crypto',
        SEALED_MIN,
      ),
    explain: explainSealed,
  },
  pipeline: {
    figure: 'a pipeline of copies and computation',
    anchor: 'the longer of the two alone',
    goal: `≤ ${PIPELINE_MAX} × its time`,
    suite: 'copy',
    judge: (data) => {
      const row = rowWith(data, 'copy', { name: 'pipeline' });
      const ratio = numberOf(row, 'pipeline_to_longer');
      if (row === undefined || ratio === undefined) return undefined;
      return judgeWorst([{ ratio, where: '', rows: [row] }], { limit: PIPELINE_MAX, is: 'most', words: '' });
    },
    explain: (data) => {
      const row = rowWith(data, 'copy', { name: 'pipeline' });
      return `Copies alone take ${row?.['copies_ms']} ms, computation alone ${row?.['computations_ms']}, both together ${row?.['pipeline_ms']}: the copy engine takes its core from the host's thread, which queues the next step, and the first copy has nothing to run beside.`;
    },
  },
};

function launchGoal(from: string, name: string, most: number): Goal {
  return {
    figure: `empty launch and its outcome, from ${from}, median`,
    anchor: 'an absolute time',
    goal: `≤ ${formatNanoseconds(most)}`,
    suite: 'launch',
    judge: (data) => {
      const row = rowWith(data, 'launch', { name });
      const time = numberOf(row, 'p50_ns');
      if (row === undefined || time === undefined) return undefined;
      return { measured: formatNanoseconds(time), met: time <= most, rows: [row] };
    },
    explain: (data) => {
      const [exchange, call] = ['ping-pong', 'exitless'].map((each) =>
        formatNanoseconds(callNanoseconds(data, each)),
      );
      return `A launch is the same exchange as a call, the other way: the bare one takes ${exchange} in the same run, a call ${call}. A launch has a name and arguments to be encoded and read besides.`;
    },
  };
}

/** The cipher and a copy one after the other, each by its own row, are what a copy that is sealed is made of. */
function explainSealed(data: ReportData): string | undefined {
  const rate = (name: string, bytes: number): number | undefined =>
    numberOf(rowWith(data, 'copy', { name, bytes }), 'gigabytes_per_s');
  const bytes = numberOf(rowWith(data, 'copy', { name: 'pinned and sealed, in' }), 'bytes') ?? 0;
  const [cipher, copied] = [rate('AES-256-GCM of node:crypto', bytes), rate('pinned, in', bytes)];
  if (cipher === undefined || copied === undefined) return undefined;
  const both = 1 / (1 / cipher + 1 / copied);
  return `Over ${formatBytes(bytes)} the bare cipher reaches ${cipher} GB/s and a copy that is not sealed ${copied}; one after the other they give ${threeDigits(both)}, ${threeDigits(both / cipher)} of the cipher. Measured: ${rate('pinned and sealed, in', bytes)} in, ${rate('pinned and sealed, out', bytes)} out; the rest is the tags of the pieces.`;
}

function judgePools(data: ReportData): Finding | undefined {
  const comparison = data.peers.find(({ question }) => question === TINY_JOBS);
  const own = fastest(comparison, ({ side }) => side === 'own');
  const pool = fastest(comparison, ({ name }) => POOLS.includes(name));
  const ratio = divide(pool, own, 'p50_ns', `the fastest is ${pool?.name}`);
  return ratio && judgeWorst([ratio], { limit: POOLS_MIN, is: 'least', words: '' });
}

function fastest(
  comparison: Comparison | undefined,
  isMeant: (row: ComparedRow) => boolean,
): ComparedRow | undefined {
  return comparison?.rows.find(isMeant);
}

function copyShare(
  data: ReportData,
  names: readonly string[],
  floor: string,
  limit: number,
): Finding | undefined {
  const rows: readonly Row[] = rowsOf(data, 'copy').filter(({ name }) => names.includes(String(name)));
  const ratios = rows.map((row) => {
    const bare = rowWith(data, 'copy', { name: floor, bytes: row['bytes']! });
    const rate = threeDigits(numberOf(row, 'gigabytes_per_s') ?? 0);
    return divide(
      row,
      bare,
      'gigabytes_per_s',
      `${row['name']}, ${formatBytes(Number(row['bytes']))}: ${rate} GB/s`,
    );
  });
  return judgeWorst(ratios.filter(isRatio), { limit, is: 'least', words: '' });
}
