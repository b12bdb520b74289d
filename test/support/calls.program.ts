import * as services from '../../src/enclave.ts';

/**
 * Makes calls as a test asks, in either form, and tells how each went.
 */
export interface Step {
  /** The name of something open, or a service: `net` unless told. */
  readonly on?: string;
  readonly call: string;
  /** For calls that fill buffers, the first is their size, or a list of sizes. */
  readonly values?: readonly unknown[];
  /** The name that what was opened gets. */
  readonly as?: string;
}

export interface Outcome {
  readonly value?: unknown;
  readonly error?: Readonly<Record<string, unknown>>;
}

type Callable = Record<string, (...values: unknown[]) => unknown>;

const opened = new Map<string, unknown>([
  ['net', services],
  ['files', services.files],
  ['names', services.names],
]);
/** Calls that have only one form. */
const SINGLE = /^set(?!Times)/;

export async function run(steps: readonly Step[], asynchronous: boolean): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const step of steps) outcomes.push(await outcomeOf(() => perform(step, asynchronous)));
  return outcomes;
}

/** Starts all steps at once, before any has ended. */
export async function runTogether(steps: readonly Step[]): Promise<Outcome[]> {
  return await Promise.all(steps.map((step) => outcomeOf(() => perform(step, true))));
}

async function perform({ on = 'net', call, values = [], as }: Step, asynchronous: boolean): Promise<unknown> {
  const target = opened.get(on) as Callable;
  const name = asynchronous && !SINGLE.test(call) ? `${call}Async` : call;
  const [first, ...rest] = values;
  if (/^(read|receive|receiveFrom)$/.test(call)) {
    const buffer = new Uint8Array(first as number);
    const value = await target[name]?.(buffer, ...rest);
    if (typeof value === 'number') return buffer.slice(0, value);
    return { ...(value as object), bytes: buffer.slice(0, (value as services.Received).length) };
  }
  if (/^(readVectors|receiveInto)$/.test(call)) {
    const buffers = (first as number[]).map((length) => new Uint8Array(length));
    return [await target[name]?.(buffers, ...rest), ...buffers];
  }
  const value = await target[name]?.(...values);
  if (as === undefined) return plain(value);
  opened.set(as, value);
  return undefined;
}

function plain(value: unknown): unknown {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return value;
  return { ...value };
}

async function outcomeOf(call: () => Promise<unknown>): Promise<Outcome> {
  try {
    return { value: await call() };
  } catch (error) {
    const { name, code, errno, syscall, path } = error as Record<string, unknown>;
    return { error: { name, code, errno, syscall, path } };
  }
}
