import { type ReportData, rowsOf } from '../data.ts';
import { formatNanoseconds, formatRatio, threeDigits } from '../units.ts';
import { callNanoseconds, divide, type Finding, type Goal, judgeWorst, numberOf, rowWith } from './goal.ts';

/** What a call costs, the experiment of the talk, an idle enclave and its start. */

const CALL_TO_PING_PONG_MAX = 2.5;
const POST_MESSAGE_TO_CALL_MIN = 100;
const EXIT_TO_CALL_MIN = 15;
const IDLE_PERCENT_MAX = 1;
const START_MILLISECONDS_MAX = 60;

const NULL_CALL = 'null call, exit-less, synchronous, median';
const PARAMETER_SERVER = 'parameter server, slowdown against direct';
const LARGE_MODEL_MAX = 4;

export type AnchorGoal =
  | 'call-ping-pong'
  | 'call-post-message'
  | 'call-exit'
  | 'parameter-server-1'
  | 'parameter-server-8'
  | 'parameter-server-64'
  | 'parameter-server-large'
  | 'idle'
  | 'start';

export const anchorGoals: Readonly<Record<AnchorGoal, Goal>> = {
  'call-ping-pong': {
    figure: NULL_CALL,
    anchor: 'bare exchange of two words between the same two processes; HotCalls at most 620 cycles',
    goal: `≤ ${CALL_TO_PING_PONG_MAX} × the bare exchange`,
    suite: 'call',
    judge: (data) => callRatio(data, 'exitless', 'ping-pong', CALL_TO_PING_PONG_MAX, 'most'),
    explain: (data) =>
      `Beside the exchange (${formatNanoseconds(callNanoseconds(data, 'ping-pong'))}) a call needs the work of both sides, which takes ${formatNanoseconds(workOfBothSides(data))} by the profile of the same run; the rest is looks that come late.`,
  },
  'call-post-message': {
    figure: NULL_CALL,
    anchor: 'postMessage to a worker thread and back',
    goal: `≥ ${POST_MESSAGE_TO_CALL_MIN} × faster`,
    suite: 'call',
    judge: (data) => callRatio(data, 'post-message', 'exitless', POST_MESSAGE_TO_CALL_MIN, 'least'),
    explain: (data) => floorExplanation(data, 'post-message', POST_MESSAGE_TO_CALL_MIN),
  },
  'call-exit': {
    figure: NULL_CALL,
    anchor: 'the same call with an exit, measured',
    goal: `≥ ${EXIT_TO_CALL_MIN} × faster`,
    suite: 'call',
    judge: (data) => callRatio(data, 'exit', 'exitless', EXIT_TO_CALL_MIN, 'least'),
    explain: (data) => floorExplanation(data, 'exit', EXIT_TO_CALL_MIN),
  },
  'parameter-server-1': slowdownGoal(1, 1.2, 'Eleos 1.56, SGX 9.1'),
  'parameter-server-8': slowdownGoal(8, 1.05, 'Eleos 1.14, SGX 5.9'),
  'parameter-server-64': slowdownGoal(64, 1, 'Eleos 0.98, SGX 1.0'),
  'parameter-server-large': {
    figure: `${PARAMETER_SERVER}, a model larger than private memory (in a full run 512 MiB, with 64)`,
    anchor: 'the same program in place with all in memory; Eleos 6.6, SGX 33.6',
    goal: `≤ ${LARGE_MODEL_MAX}`,
    suite: 'large-model',
    judge: (data) => slowdown(data, 'large-model', 1, LARGE_MODEL_MAX),
    explain: explainLargeModel,
  },
  idle: {
    figure: 'idle enclave, processor time',
    anchor: "Gramine's exit-less mode 600 to 800 % of a core",
    goal: `≤ ${IDLE_PERCENT_MAX} % of a core`,
    suite: 'idle',
    judge: judgeIdle,
  },
  start: {
    figure: 'start of an enclave',
    anchor: 'Node itself',
    goal: `≤ Node + ${START_MILLISECONDS_MAX} ms`,
    suite: 'start',
    judge: judgeStart,
    explain: (data) => {
      const [node, exit] = ['node', 'exit'].map((name) =>
        numberOf(rowWith(data, 'start', { name }), 'p50_ms'),
      );
      return `The enclave is a process of Node, which starts in ${node} ms here. What comes after it is the same work for every strategy (with exits: ${exit} ms): its workers and threads, its program, and the lock-down.`;
    },
  },
};

/** How many times one call takes the other's time. */
function callRatio(
  data: ReportData,
  above: string,
  below: string,
  limit: number,
  is: 'most' | 'least',
): Finding | undefined {
  const [high, low] = [above, below].map((name) => rowWith(data, 'call', { name }));
  const times = `${formatNanoseconds(callNanoseconds(data, above))} against ${formatNanoseconds(callNanoseconds(data, below))}`;
  const ratio = divide(high, low, 'p50_ns', times);
  return ratio === undefined ? undefined : judgeWorst([ratio], { limit, is, words: '' });
}

/** Nothing that asks another core can be faster than the bare exchange of two words with it. */
function floorExplanation(data: ReportData, name: string, least: number): string {
  const exchange = callNanoseconds(data, 'ping-pong');
  const reach = callNanoseconds(data, name) / exchange;
  const bare = `The bare exchange of two words between the two processes takes ${formatNanoseconds(exchange)} in the same run: ${formatRatio(reach)} faster than ${name}`;
  return reach < least
    ? `${bare}. No call that asks another core can reach the goal on this machine.`
    : `${bare}. What a call adds to it is the work of both sides, ${formatNanoseconds(workOfBothSides(data))} by the profile, and looks that come late.`;
}

function workOfBothSides(data: ReportData): number {
  return ['encode', 'publish', 'serve', 'check'].reduce(
    (sum, part) => sum + (numberOf(rowWith(data, 'profile', { part }), 'ns') ?? 0),
    0,
  );
}

function slowdownGoal(items: number, most: number, anchor: string): Goal {
  return {
    figure: `${PARAMETER_SERVER}, ${items} ${items === 1 ? 'item' : 'items'} per request`,
    anchor: `the same program in place; ${anchor}`,
    goal: `≤ ${most}`,
    suite: 'parameter-server',
    judge: (data) => slowdown(data, 'parameter-server', items, most),
    explain: (data) => {
      const [direct, own] = ['direct', 'exitless'].map(
        (strategy) =>
          numberOf(rowWith(data, 'parameter-server', { items, strategy }), 'server_us_per_request') ?? 0,
      );
      const more = formatNanoseconds((own! - direct!) * 1000);
      const call = formatNanoseconds(callNanoseconds(data, 'exitless'));
      return `A request takes ${threeDigits(direct!)} µs in place and ${more} more here, for two calls with a payload each; a call that does nothing takes ${call} in the same run. No network is in the way that would hide it.`;
    },
  };
}

/** An update of a page that is not in private memory needs a fault that seals another page. */
function explainLargeModel(data: ReportData): string | undefined {
  const [direct, own] = ['direct', 'exitless'].map((strategy) =>
    numberOf(rowWith(data, 'large-model', { items: 1, strategy }), 'server_us_per_request'),
  );
  const fault = rowsOf(data, 'memory')
    .filter(({ what }) => what === 'fault-dirty')
    .at(-1);
  const [time, floor] = [numberOf(fault, 'fault_ns'), numberOf(fault, 'floor_ns')];
  if (direct === undefined || own === undefined || time === undefined || floor === undefined)
    return undefined;
  const small = numberOf(rowWith(data, 'parameter-server', { items: 1, strategy: 'exitless' }), 'slowdown');
  const calls =
    small === undefined ? '' : ` The calls alone, with a model that fits, slow it down ${small} times.`;
  return `A request takes ${direct} µs in place and ${threeDigits(own - direct)} µs more here. A page fault that seals a page and opens another takes ${formatNanoseconds(time)} in the same run (with a store of ${fault?.['store_mib']} MiB), ${formatNanoseconds(floor)} of it the bare cipher and copies: most updates of a model this large need one.${calls}`;
}

function slowdown(data: ReportData, suite: string, items: number, most: number): Finding | undefined {
  const row = rowWith(data, suite, { items, strategy: 'exitless' });
  const direct = rowWith(data, suite, { items, strategy: 'direct' });
  const times = numberOf(row, 'slowdown');
  if (row === undefined || times === undefined) return undefined;
  return {
    measured: threeDigits(times),
    met: times <= most,
    rows: direct === undefined ? [row] : [row, direct],
  };
}

function judgeIdle(data: ReportData): Finding | undefined {
  const row = rowWith(data, 'idle', { name: 'exitless' });
  const percent = numberOf(row, 'processor_percent');
  if (row === undefined || percent === undefined) return undefined;
  return {
    measured: `${percent} % with ${Number(row['idle_connections']).toLocaleString('en')} open connections`,
    met: percent <= IDLE_PERCENT_MAX,
    rows: [row],
  };
}

function judgeStart(data: ReportData): Finding | undefined {
  const row = rowWith(data, 'start', { name: 'exitless' });
  const more = numberOf(row, 'more_than_node_ms');
  if (row === undefined || more === undefined) return undefined;
  const rows = rowsOf(data, 'start').filter(({ name }) => name === 'exitless' || name === 'node');
  return { measured: `Node + ${more} ms`, met: more <= START_MILLISECONDS_MAX, rows };
}
