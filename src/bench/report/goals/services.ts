import { type ReportData, rowsOf } from '../data.ts';
import { formatNanoseconds, threeDigits } from '../units.ts';
import {
  callNanoseconds,
  divide,
  type Finding,
  type Goal,
  isRatio,
  judgeWorst,
  numberOf,
  type Ratio,
  rowWith,
} from './goal.ts';

/** Sockets and files: the operating system's services. */

const DIRECT_SHARE_MIN = 0.8;
const READ_MAX = 1.6;
const FIRST_MORE_MAX = 300;
const SCALE_MAX = 1.5;
const ONE_CORE_MIN = 1 / 3;

export type ServiceGoal =
  | 'echo'
  | 'echo-direct'
  | 'scale'
  | 'first-request'
  | 'one-core'
  | 'read-1'
  | 'read-16';

export const serviceGoals: Readonly<Record<ServiceGoal, Goal>> = {
  echo: {
    figure: 'echo server over TCP in the enclave, requests per second',
    anchor: "Node's own net server, unprotected",
    goal: 'faster, at every number of connections',
    suite: 'echo',
    judge: (data) => echoShare(data, 'node:net', 1),
    explain: explainEcho,
  },
  'echo-direct': {
    figure: 'echo server over TCP in the enclave, requests per second',
    anchor: 'the same program in place',
    goal: `≥ ${DIRECT_SHARE_MIN} of its rate, at every number of connections`,
    suite: 'echo',
    judge: (data) => echoShare(data, 'direct', DIRECT_SHARE_MIN),
    explain: explainEcho,
  },
  scale: {
    figure: 'a request with up to 10,000 open connections',
    anchor: 'the same with fewer',
    goal: `≤ ${SCALE_MAX} × the cost with any smaller number`,
    suite: 'scale',
    judge: judgeScale,
  },
  'first-request': {
    figure: 'first request after an idle second',
    anchor: 'the busy median of the same server',
    goal: `≤ ${FIRST_MORE_MAX} µs more`,
    suite: 'idle',
    judge: (data) => {
      const row = rowWith(data, 'idle', { name: 'exitless' });
      const more = numberOf(row, 'first_more_than_busy_us');
      if (row === undefined || more === undefined) return undefined;
      return { measured: `${threeDigits(more)} µs more`, met: more <= FIRST_MORE_MAX, rows: [row] };
    },
    explain: (data) => {
      const node = numberOf(rowWith(data, 'idle', { name: 'node:net' }), 'first_more_than_busy_us') ?? 0;
      return `The unprotected server of Node, which is woken once where the enclave and its worker are woken one after the other, takes ${threeDigits(node)} µs more in the same run: most of it is a core that wakes.`;
    },
  },
  'one-core': {
    figure: 'echo server in the enclave with all on one core',
    anchor: 'the same on all cores',
    goal: '≥ a third of the rate',
    suite: 'one-core',
    judge: (data) => {
      const row = rowWith(data, 'one-core', { name: 'exitless' });
      const ratio = numberOf(row, 'ratio');
      if (row === undefined || ratio === undefined) return undefined;
      return judgeWorst([{ ratio, where: '', rows: [row] }], { limit: ONE_CORE_MIN, is: 'least', words: '' });
    },
  },
  'read-1': {
    figure: '4 KiB read at random places of a cached file, one at a time',
    anchor: 'fs.readSync on the same file',
    goal: `≤ ${READ_MAX} × its time`,
    suite: 'files',
    judge: (data) => readRatio(data, 1, READ_MAX),
    explain: (data) => {
      const [node, direct] = ['node', 'direct'].map(
        (name) =>
          numberOf(rowWith(data, 'files', { ...CACHED_READ, reads_at_once: 1, name }), 'us_per_read') ?? 0,
      );
      const call = formatNanoseconds(callNanoseconds(data, 'exitless'));
      return `The read itself takes ${node} µs (${direct} µs by the same program in place). The goal leaves ${threeDigits((READ_MAX - 1) * node!)} µs for the call, which takes ${call} with nothing to do, and for the second copy of 4 KiB, out of the boundary.`;
    },
  },
  'read-16': {
    figure: '4 KiB reads at random places of a cached file, 16 at once',
    anchor: 'fs.read on the same file, 16 at once',
    goal: 'faster',
    suite: 'files',
    judge: (data) => readRatio(data, 16, 1),
  },
};

const CACHED_READ = { workload: 'random', read_bytes: 4096 } as const;

/** The number of connections at which the enclave is worst against another server decides. */
function echoShare(data: ReportData, other: string, limit: number): Finding | undefined {
  const ratios = rowsOf(data, 'echo')
    .filter((row) => row['name'] === other)
    .map((row) => {
      const connections = Number(row['connections']);
      const own = rowWith(data, 'echo', { name: 'exitless', connections });
      return divide(own, row, 'requests_per_s', `with ${connections} connections`);
    });
  return judgeWorst(ratios.filter(isRatio), { limit, is: 'least', words: ' its rate' });
}

function explainEcho(data: ReportData): string {
  const costs = rowsOf(data, 'echo')
    .filter((row) => row['name'] === 'exitless')
    .map((row) => {
      const connections = Number(row['connections']);
      const direct = rowWith(data, 'echo', { name: 'direct', connections });
      return `${row['processor_us_per_request']} against ${direct?.['processor_us_per_request']} µs with ${connections}`;
    });
  return `An enclave, its worker and the client share ${data.machine.cores} cores, where a server in place shares them with the client alone. Processor time of a request, against the same program in place: ${costs.join(', ')}.`;
}

/** Against any smaller number of connections, so that waiting for the only one counts as no cost of many. */
function judgeScale(data: ReportData): Finding | undefined {
  const rows = rowsOf(data, 'scale').filter((row) => row['name'] === 'exitless');
  const ratios: Ratio[] = rows.flatMap((row, index) =>
    rows
      .slice(0, index)
      .map((fewer) =>
        divide(
          row,
          fewer,
          'us_per_request',
          `${row['connections']} against ${fewer['connections']} connections`,
        ),
      )
      .filter(isRatio),
  );
  return judgeWorst(ratios, { limit: SCALE_MAX, is: 'most', words: '' });
}

function readRatio(data: ReportData, atOnce: number, limit: number): Finding | undefined {
  const [own, node] = ['exitless', 'node'].map((name) =>
    rowWith(data, 'files', { ...CACHED_READ, reads_at_once: atOnce, name }),
  );
  const times = `${own?.['us_per_read']} against ${node?.['us_per_read']} µs`;
  const ratio = divide(own, node, 'us_per_read', times);
  return ratio === undefined ? undefined : judgeWorst([ratio], { limit, is: 'most', words: '' });
}
