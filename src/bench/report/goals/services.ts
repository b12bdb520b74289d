import { type ReportData, rowsOf } from '../data.ts';
import { formatNanoseconds, formatRatio, threeDigits } from '../units.ts';
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
    explain: explainScale,
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
    explain: (data) => {
      const [own, exit, node] = ['exitless', 'exit', 'node:net'].map((name) =>
        rowWith(data, 'one-core', { name }),
      );
      const [all, one] = ['all_cores', 'one_core'].map((cores) =>
        numberOf(own, `${cores}_processor_us_per_request`),
      );
      if (all === undefined || one === undefined) return undefined;
      return `On one core the enclave and its worker cannot run at once, so that the kernel switches between them for a call: a request takes ${one} µs of processor time, on all cores ${all}, looking for answers included. With an exit the rate falls to ${exit?.['ratio']} of that on all cores, of the server of Node to ${node?.['ratio']}.`;
    },
  },
  'read-1': {
    figure: '4 KiB read at random places of a cached file, one at a time',
    anchor: 'fs.readSync on the same file',
    goal: `≤ ${READ_MAX} × its time`,
    suite: 'files',
    judge: (data) => readRatio(data, 1, READ_MAX),
    explain: explainRead,
  },
  'read-16': {
    figure: '4 KiB reads at random places of a cached file, 16 at once',
    anchor: 'fs.read on the same file, 16 at once',
    goal: 'faster',
    suite: 'files',
    judge: (data) => readRatio(data, 16, 1),
    explain: explainReads,
  },
};

/** A row of the suite of files that reads nothing. */
const HAND_OVER = 'hand-over of the bytes alone';
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

/** What one of the others pays for the same step says how much of it is the enclave's. */
function explainScale(data: ReportData): string | undefined {
  const [fewer, more] =
    judgeScale(data)
      ?.rows.map((row) => Number(row['connections']))
      .sort((a, b) => a - b) ?? [];
  const parts = ['exitless', 'direct', 'node:net'].flatMap((name) => {
    const [few, many] = [fewer, more].map((connections) =>
      rowWith(data, 'scale', { name, connections: connections ?? 0 }),
    );
    const wall = divide(many, few, 'us_per_request', '');
    if (wall === undefined) return [];
    const [before, after] = [few, many].map((row) => row?.['processor_us_per_request']);
    return [`${name} ${formatRatio(wall.ratio)} (${after} against ${before} µs of processor time)`];
  });
  if (parts.length < 2) return undefined;
  return `From ${fewer} to ${more} connections a request grows for each server: ${parts.join(', ')}. What the servers in place pay as well is the kernel's and the client's.`;
}

function cachedRead(
  data: ReportData,
  name: string,
  atOnce: number,
  field = 'us_per_read',
): number | undefined {
  return numberOf(rowWith(data, 'files', { ...CACHED_READ, reads_at_once: atOnce, name }), field);
}

/** The read itself and the way of its bytes from one core to another are the floor of any read without an exit. */
function explainRead(data: ReportData): string | undefined {
  const [node, direct, handOver] = ['node', 'direct', HAND_OVER].map((name) => cachedRead(data, name, 1));
  if (node === undefined || direct === undefined || handOver === undefined) return undefined;
  const floor = direct + handOver;
  const reach = floor / node > READ_MAX ? ' No read without an exit can reach the goal on this machine.' : '';
  const call = formatNanoseconds(callNanoseconds(data, 'exitless'));
  return `The read itself takes ${node} µs, ${direct} µs by the same program in place. Handing 4 KiB from one core to another, with nothing else on the way, takes ${handOver} µs: together ${threeDigits(floor)} µs, ${formatRatio(floor / node)} the time of fs.readSync, is the floor of a read without an exit (but for a copy that the kernel makes on its way into shared memory).${reach} A call that does nothing takes ${call} in the same run.`;
}

function explainReads(data: ReportData): string | undefined {
  const parts = ['exitless', 'direct', 'node'].flatMap((name) => {
    const [wall, processor] = ['us_per_read', 'processor_us_per_read'].map((field) =>
      cachedRead(data, name, 16, field),
    );
    return wall === undefined || processor === undefined
      ? []
      : [`${name} ${wall} µs, with ${processor} µs of processor time`];
  });
  if (parts.length < 3) return undefined;
  return `A read takes ${parts.join('; ')}. With two sides on ${data.machine.cores} cores, a read cannot take less than half of its processor time, where that of the program in place is what the promises of sixteen reads cost.`;
}

function readRatio(data: ReportData, atOnce: number, limit: number): Finding | undefined {
  const [own, node] = ['exitless', 'node'].map((name) =>
    rowWith(data, 'files', { ...CACHED_READ, reads_at_once: atOnce, name }),
  );
  const times = `${own?.['us_per_read']} against ${node?.['us_per_read']} µs`;
  const ratio = divide(own, node, 'us_per_read', times);
  return ratio === undefined ? undefined : judgeWorst([ratio], { limit, is: 'most', words: '' });
}
