import { type ReportData, rowsOf, type SuiteRows } from './data.ts';
import { explanations } from './explanations.ts';
import { formatNanoseconds, formatRatio, threeDigits } from './units.ts';

/** What a run says of a goal. */
interface Finding {
  readonly measured: string;
  readonly met: boolean;
}

export interface Goal {
  /** What is measured. */
  readonly figure: string;
  /** What it is set against: measured in the same run, or published. */
  readonly anchor: string;
  readonly goal: string;
  /** Undefined where the run holds no figure for it. */
  judge(data: ReportData): Finding | undefined;
}

/** A goal with what a run says of it. */
export interface JudgedGoal {
  readonly name: GoalName;
  readonly figure: string;
  readonly anchor: string;
  readonly goal: string;
  readonly measured: string;
  readonly verdict: 'met' | 'not met' | 'not measured';
  /** Why it is not met; empty while nobody knows. */
  readonly explanation: string;
}

const CALL_TO_PING_PONG_MAX = 2.5;
const POST_MESSAGE_TO_CALL_MIN = 100;
const EXIT_TO_CALL_MIN = 15;
const FAULT_TO_FLOOR_MAX = 1.6;
const POINTER_TO_PLAIN_MAX = 1.1;
const IDLE_PERCENT_MAX = 1;
const START_MILLISECONDS_MAX = 60;

const NULL_CALL = 'null call, exit-less, synchronous, median';
const PARAMETER_SERVER = 'parameter server, slowdown against direct';

export type GoalName =
  | 'call-ping-pong'
  | 'call-post-message'
  | 'call-exit'
  | 'parameter-server-1'
  | 'parameter-server-8'
  | 'parameter-server-64'
  | 'echo'
  | 'fault-clean'
  | 'fault-dirty'
  | 'pointer'
  | 'idle'
  | 'start';

const goals: Readonly<Record<GoalName, Goal>> = {
  'call-ping-pong': {
    figure: NULL_CALL,
    anchor: 'bare exchange of two words between the same two processes; HotCalls at most 620 cycles',
    goal: `≤ ${CALL_TO_PING_PONG_MAX} × the bare exchange`,
    judge: (data) => callRatio(data, 'exitless', 'ping-pong', (ratio) => ratio <= CALL_TO_PING_PONG_MAX),
  },
  'call-post-message': {
    figure: NULL_CALL,
    anchor: 'postMessage to a worker thread and back',
    goal: `≥ ${POST_MESSAGE_TO_CALL_MIN} × faster`,
    judge: (data) =>
      callRatio(data, 'post-message', 'exitless', (ratio) => ratio >= POST_MESSAGE_TO_CALL_MIN),
  },
  'call-exit': {
    figure: NULL_CALL,
    anchor: 'the same call with an exit, measured',
    goal: `≥ ${EXIT_TO_CALL_MIN} × faster`,
    judge: (data) => callRatio(data, 'exit', 'exitless', (ratio) => ratio >= EXIT_TO_CALL_MIN),
  },
  'parameter-server-1': slowdownGoal(1, 1.2, 'Eleos 1.56, SGX 9.1'),
  'parameter-server-8': slowdownGoal(8, 1.05, 'Eleos 1.14, SGX 5.9'),
  'parameter-server-64': slowdownGoal(64, 1, 'Eleos 0.98, SGX 1.0'),
  echo: {
    figure: 'echo server over TCP in the enclave, requests per second',
    anchor: "Node's own net server, unprotected",
    goal: 'faster, at every number of connections',
    judge: judgeEcho,
  },
  'fault-clean': faultGoal('clean', 'Eleos 8,500 cycles, SGX 40,000'),
  'fault-dirty': faultGoal('dirty', 'Eleos 14,000 cycles, SGX 40,000'),
  pointer: {
    figure: 'secure pointer, no fault',
    anchor: 'plain typed arrays; Eleos 10 to 25 % more',
    goal: '≤ 10 % more, for items of every size, read and written',
    judge: judgePointer,
  },
  idle: {
    figure: 'idle enclave, processor time',
    anchor: "Gramine's exit-less mode 600 to 800 % of a core",
    goal: `≤ ${IDLE_PERCENT_MAX} % of a core`,
    judge: judgeIdle,
  },
  start: {
    figure: 'start of an enclave',
    anchor: 'Node itself',
    goal: `≤ Node + ${START_MILLISECONDS_MAX} ms`,
    judge: judgeStart,
  },
};

/** Every goal, as this run meets it or not. */
export function judgeGoals(data: ReportData): JudgedGoal[] {
  return (Object.entries(goals) as [GoalName, Goal][]).map(([name, { figure, anchor, goal, judge }]) => {
    const finding = judge(data);
    const verdict = finding === undefined ? 'not measured' : finding.met ? 'met' : 'not met';
    const explanation = verdict === 'not met' ? (explanations[name] ?? '') : '';
    return { name, figure, anchor, goal, measured: finding?.measured ?? '', verdict, explanation };
  });
}

function number(row: SuiteRows[number] | undefined, field: string): number | undefined {
  const value = row?.[field];
  return typeof value === 'number' ? value : undefined;
}

/** How many times one call takes the other's time. */
function callRatio(
  data: ReportData,
  above: string,
  below: string,
  meets: (ratio: number) => boolean,
): Finding | undefined {
  const rows = rowsOf(data, 'call');
  const of = (name: string): number | undefined =>
    number(
      rows.find((row) => row['name'] === name),
      'p50_ns',
    );
  const [high, low] = [of(above), of(below)];
  if (high === undefined || low === undefined || low <= 0) return undefined;
  const ratio = high / low;
  return {
    measured: `${formatRatio(ratio)}: ${formatNanoseconds(high)} against ${formatNanoseconds(low)}`,
    met: meets(ratio),
  };
}

function slowdownGoal(items: number, most: number, anchor: string): Goal {
  return {
    figure: `${PARAMETER_SERVER}, ${items} ${items === 1 ? 'item' : 'items'} per request`,
    anchor: `the same program in place; ${anchor}`,
    goal: `≤ ${most}`,
    judge: (data) => {
      const row = rowsOf(data, 'parameter-server').find(
        (each) => each['items'] === items && each['strategy'] === 'exitless',
      );
      const slowdown = number(row, 'slowdown');
      if (slowdown === undefined) return undefined;
      return { measured: threeDigits(slowdown), met: slowdown <= most };
    },
  };
}

/** The number of connections at which the enclave is worst against Node's server decides. */
function judgeEcho(data: ReportData): Finding | undefined {
  const rows = rowsOf(data, 'echo');
  const ratios = rows.flatMap((row) => {
    if (row['name'] !== 'node:net') return [];
    const ours = rows.find(
      (each) => each['name'] === 'exitless' && each['connections'] === row['connections'],
    );
    const [own, node] = [number(ours, 'requests_per_s'), number(row, 'requests_per_s')];
    return own === undefined || node === undefined
      ? []
      : [{ ratio: own / node, connections: row['connections'] }];
  });
  const worst = ratios.sort((left, right) => left.ratio - right.ratio)[0];
  if (worst === undefined) return undefined;
  const measured = `${formatRatio(worst.ratio)} its rate at worst, with ${worst.connections} connections`;
  return { measured, met: worst.ratio > 1 };
}

function faultGoal(kind: 'clean' | 'dirty', published: string): Goal {
  return {
    figure: `page fault, ${kind}`,
    anchor: `AES-GCM of OpenSSL over 4 KiB and a copy; ${published}`,
    goal: `≤ ${FAULT_TO_FLOOR_MAX} × that floor, for stores of every size`,
    judge: (data) => {
      const rows = rowsOf(data, 'memory').filter((row) => row['what'] === `fault-${kind}`);
      return worstOf(
        rows,
        'floor_ratio',
        FAULT_TO_FLOOR_MAX,
        (row) => `${formatNanoseconds(number(row, 'fault_ns') ?? 0)} with a store of ${row['store_mib']} MiB`,
      );
    },
  };
}

function judgePointer(data: ReportData): Finding | undefined {
  const rows = rowsOf(data, 'memory').filter(
    (row) => row['what'] === 'hit-read' || row['what'] === 'hit-write',
  );
  return worstOf(
    rows,
    'ratio',
    POINTER_TO_PLAIN_MAX,
    (row) => `${row['what'] === 'hit-read' ? 'reading' : 'writing'} items of ${row['bytes']} bytes`,
  );
}

function worstOf(
  rows: SuiteRows,
  field: string,
  most: number,
  describe: (row: SuiteRows[number]) => string,
): Finding | undefined {
  const worst = [...rows].sort((left, right) => (number(right, field) ?? 0) - (number(left, field) ?? 0))[0];
  const ratio = number(worst, field);
  if (worst === undefined || ratio === undefined) return undefined;
  return { measured: `${formatRatio(ratio)} at worst: ${describe(worst)}`, met: ratio <= most };
}

function judgeIdle(data: ReportData): Finding | undefined {
  const row = rowsOf(data, 'idle').find((each) => each['name'] === 'exitless');
  const percent = number(row, 'processor_percent');
  if (percent === undefined) return undefined;
  return {
    measured: `${percent} % with ${row?.['idle_connections']} open connections`,
    met: percent <= IDLE_PERCENT_MAX,
  };
}

function judgeStart(data: ReportData): Finding | undefined {
  const row = rowsOf(data, 'start').find((each) => each['name'] === 'exitless');
  const more = number(row, 'more_than_node_ms');
  if (more === undefined) return undefined;
  return { measured: `Node + ${more} ms`, met: more <= START_MILLISECONDS_MAX };
}
