/**
 * Explores every interleaving of two sides that share memory, running their real code. A side is a program that
 * touches shared words only through `Atomics` and the words that it is given, and the kernel through a stand-in:
 * each such access is a step. To advance a side by one step, its program is run again from its start with what
 * its accesses returned before, then does one more for real, and is stopped at the next.
 */

/** One access of a side: does it for real and returns what the program sees; `undefined`: it cannot go on now. */
export type Access = (world: World) => number | undefined;

/** All that the sides share. */
export interface World {
  /** Values of shared words, by a key of the program's choice. Those never written are zero. */
  readonly memory: Map<string, number>;
}

class Stopped extends Error {}

/** What a running side's accesses go through; set while a program runs. */
let current: Run | undefined;

class Run {
  readonly #history: number[];
  readonly #world: World;
  #position = 0;
  #fresh = 0;
  /** Whether the step that was to be made could not be. */
  isBlocked = false;

  constructor(history: number[], world: World) {
    this.#history = history;
    this.#world = world;
  }

  access(access: Access): number {
    if (this.#position < this.#history.length) return this.#history[this.#position++] as number;
    if (this.#fresh++ > 0) throw new Stopped();
    const value = access(this.#world);
    if (value === undefined) {
      this.isBlocked = true;
      throw new Stopped();
    }
    this.#history.push(value);
    this.#position++;
    return value;
  }

  /** Takes back the accesses since there were so many. For those that changed neither memory nor the program. */
  rewind(length: number): never {
    this.#history.length = length;
    throw new Stopped();
  }

  get length(): number {
    return this.#position;
  }
}

/** Makes one access of the side that runs. */
export function access(step: Access): number {
  return (current as Run).access(step);
}

/** A mark to {@link retry} from. */
export function mark(): number {
  return (current as Run).length;
}

/**
 * Ends an attempt that came to nothing: the side is as it was at the mark and will try again. Only for attempts
 * that leave nothing behind, in memory or in the program.
 */
export function retry(from: number): never {
  return (current as Run).rewind(from);
}

interface State {
  readonly world: World;
  /** What each side's accesses returned so far. */
  readonly histories: readonly number[][];
  readonly done: readonly boolean[];
}

export interface Exploration {
  readonly states: number;
  readonly steps: number;
  readonly endings: number;
}

/**
 * Runs all interleavings of the programs from that memory on. Each program starts anew every time it is called,
 * and returns when it is done. Throws what a program throws, and when there is a state from which the end cannot be reached.
 */
export function explore(
  programs: readonly (() => void)[],
  memory: ReadonlyMap<string, number> = new Map(),
): Exploration {
  const start: State = {
    world: { memory: new Map(memory) },
    histories: programs.map(() => []),
    done: programs.map(() => false),
  };
  const found = new Map<string, number>([[keyOf(start), 0]]);
  const states = [start];
  const before: number[][] = [[]];
  const ends: number[] = [];
  let steps = 0;
  for (let index = 0; index < states.length; index++) {
    const state = states[index] as State;
    if (state.done.every(Boolean)) ends.push(index);
    for (let side = 0; side < programs.length; side++) {
      if (state.done[side] === true) continue;
      const next = advance(state, side, programs[side] as () => void);
      if (next === undefined) continue;
      steps++;
      const key = keyOf(next);
      let target = found.get(key);
      if (target === undefined) {
        target = states.push(next) - 1;
        before.push([]);
        found.set(key, target);
      }
      if (target !== index) (before[target] as number[]).push(index);
    }
  }
  requireEnds(states, before, ends);
  return { states: states.length, steps, endings: ends.length };
}

/** The state after one step of a side; `undefined` when it cannot make one. */
function advance(state: State, side: number, program: () => void): State | undefined {
  const world = { memory: new Map(state.world.memory) };
  const histories = state.histories.map((history, index) => (index === side ? [...history] : history));
  const run = new Run(histories[side] as number[], world);
  const done = [...state.done];
  current = run;
  try {
    program();
    done[side] = true;
  } catch (error) {
    if (!(error instanceof Stopped)) throw error;
  } finally {
    current = undefined;
  }
  return run.isBlocked ? undefined : { world, histories, done };
}

function keyOf({ world, histories, done }: State): string {
  const memory = [...world.memory].filter(([, value]) => value !== 0).sort(([a], [b]) => (a < b ? -1 : 1));
  return `${memory.join(';')}|${histories.join('|')}|${done}`;
}

/** From every state the end must be in reach: else it is a deadlock, or a wake-up was lost. */
function requireEnds(
  states: readonly State[],
  before: readonly (readonly number[])[],
  ends: readonly number[],
): void {
  const reaches = new Uint8Array(states.length);
  const queue = [...ends];
  for (const end of ends) reaches[end] = 1;
  for (let state = queue.pop(); state !== undefined; state = queue.pop()) {
    for (const earlier of before[state] as readonly number[]) {
      if (reaches[earlier] === 1) continue;
      reaches[earlier] = 1;
      queue.push(earlier);
    }
  }
  const stuck = reaches.indexOf(0);
  if (stuck >= 0) throw new Error(`no way leads on from ${keyOf(states[stuck] as State)}`);
}

/**
 * Runs with `Atomics` replaced by accesses of the side that runs. Words that nobody reads may be named, by their
 * keys: writing them is no step.
 */
export function withSimulatedAtomics<T>(run: () => T, unread: ReadonlySet<string> = new Set()): T {
  const real = globalThis.Atomics;
  globalThis.Atomics = {
    ...real,
    load: (words: Int32Array, index: number) => access(loadOf(keyOfWord(words, index))),
    store: (words: Int32Array, index: number, value: number) => {
      const key = keyOfWord(words, index);
      if (!unread.has(key)) access(storeOf(key, value | 0));
      return value;
    },
  } as typeof Atomics;
  try {
    return run();
  } finally {
    globalThis.Atomics = real;
  }
}

const arrays = new WeakMap<ArrayBufferLike, number>();
let arrayCount = 0;

/** Arrays over the same memory have the same words. */
export function keyOfWord(words: Int32Array, index: number): string {
  let array = arrays.get(words.buffer);
  if (array === undefined) {
    array = arrayCount++;
    arrays.set(words.buffer, array);
  }
  return `${array}.${index}`;
}

export function loadOf(key: string): Access {
  return ({ memory }) => memory.get(key) ?? 0;
}

export function storeOf(key: string, value: number): Access {
  return ({ memory }) => {
    memory.set(key, value);
    return 0;
  };
}

/** Words of which every reading and writing is a step, for code that takes its words as a parameter. */
export function simulatedWords(length: number): Int32Array<SharedArrayBuffer> {
  const words = new Int32Array(new SharedArrayBuffer(length * 4));
  const prefix = keyOfWord(words, 0);
  const array = prefix.slice(0, prefix.indexOf('.'));
  return new Proxy(words, {
    get: (target, property) => {
      if (typeof property === 'string' && /^\d+$/.test(property))
        return access(loadOf(`${array}.${property}`));
      return Reflect.get(target, property);
    },
    set: (_target, property, value) => {
      access(storeOf(`${array}.${String(property)}`, value | 0));
      return true;
    },
  });
}
