import { connect, connectAsync, files, listen, listenAsync, pingAsync } from '../../src/enclave.ts';

export type Stage = 'before' | 'queued' | 'taken' | 'waiting' | 'answered';
export type Way = 'signal' | 'deadline' | 'close';

/** Something that can be read, and given something to read. */
interface Readable {
  read(buffer: Uint8Array<ArrayBuffer>, options: { timeout?: number; signal?: AbortSignal }): Promise<number>;
  give(bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** Another call on it, by whose answer the host has taken all that was asked before. */
  settle(): Promise<unknown>;
  close(): Promise<void>;
  /** Closes what is left. */
  end(): Promise<void>;
}

/** A worker dawdles over room for 77 bytes; what was answered fills its room, so that no more is asked for. */
const ROOMS: Readonly<Record<Stage, number>> = {
  before: 100,
  queued: 100,
  taken: 77,
  waiting: 100,
  answered: 3,
};
const DEADLINE_MILLISECONDS = 5;
const ANSWER_MILLISECONDS = 20;

async function connection(): Promise<Readable> {
  const listener = listen({ host: '127.0.0.1', port: 0 });
  const { port } = listener.localAddress() as { port: number };
  const near = connect({ host: '127.0.0.1', port });
  const far = listener.accept();
  await listener.closeAsync();
  return {
    read: (buffer, options) => near.receiveAsync(buffer, options),
    give: (bytes) => far.sendAsync(bytes),
    settle: () => near.localAddressAsync(),
    close: () => near.closeAsync(),
    end: async () => {
      await near.closeAsync();
      await far.closeAsync();
    },
  };
}

/** A thread of the host's that waits in a pipe goes on when something comes. */
async function pipe(): Promise<Readable> {
  const file = await files.openAsync('/data/pipe', 'r+');
  const other = await files.openAsync('/data/pipe', 'r+');
  return {
    read: (buffer, options) => file.readAsync(buffer, options),
    give: async (bytes) => void (await other.writeAsync(bytes)),
    settle: () => file.statAsync(),
    close: () => file.closeAsync(),
    end: async () => {
      await other.writeAsync(new Uint8Array(1));
      await file.closeAsync();
      await other.closeAsync();
    },
  };
}

/** Ends a call at a stage of its life, one way or another, and says what came of it. */
export async function cancel(what: 'socket' | 'file', stage: Stage, way: Way): Promise<string> {
  const readable = await (what === 'socket' ? connection() : pipe());
  const controller = new AbortController();
  const options = {
    ...(way === 'deadline' ? { timeout: stage === 'before' ? -1 : DEADLINE_MILLISECONDS } : {}),
    ...(way === 'signal' ? { signal: controller.signal } : {}),
  };
  let closed: Promise<void> | undefined;
  const end = (): void => {
    if (way === 'signal') controller.abort();
    if (way === 'close') closed = readable.close();
  };
  if (stage === 'before') end();
  if (stage === 'answered') await readable.give(Uint8Array.of(1, 2, 3));
  const stalled = stage === 'queued' ? pingAsync() : undefined;
  const outcome = codeOf(readable.read(new Uint8Array(ROOMS[stage]), options));
  if (stage === 'taken') spin(DEADLINE_MILLISECONDS);
  if (stage === 'waiting') await readable.settle();
  if (stage === 'answered') spin(ANSWER_MILLISECONDS);
  if (stage !== 'before') end();
  const code = await outcome;
  await closed;
  await stalled;
  await readable.end();
  return code;
}

function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(String, (error: { code: string }) => error.code);
}

/** Keeps this thread from looking for answers. */
function spin(milliseconds: number): void {
  for (const end = performance.now() + milliseconds; performance.now() < end; );
}

/** A connection that was accepted for a call that had been given up meanwhile: what its peer receives. */
export async function abortAnsweredAccept(): Promise<[string, string]> {
  const listener = await listenAsync({ host: '127.0.0.1', port: 0 });
  const { port } = listener.localAddress() as { port: number };
  const controller = new AbortController();
  const near = connect({ host: '127.0.0.1', port });
  const accepted = codeOf(listener.acceptAsync({ signal: controller.signal }));
  spin(ANSWER_MILLISECONDS);
  controller.abort();
  const code = await accepted;
  const received = await codeOf(near.receiveAsync(new Uint8Array(1), { timeout: 10_000 }));
  await near.closeAsync();
  await listener.closeAsync();
  return [code, received];
}

/** One call that is given up at some time or other, or not at all. */
export interface Attempt {
  readonly call:
    | 'receive'
    | 'accept'
    | 'connect'
    | 'send'
    | 'read'
    | 'write'
    | 'open'
    | 'stat'
    | 'mkdir'
    | 'ping';
  readonly way: Way | 'none';
  /** How long after its start it is ended, in turns of the event loop; 0 is at once, below 0 is before. */
  readonly turns: number;
}

const ALLOWED =
  /^(\d+|undefined|\[object Object\]|SGXIO_ABORTED|SGXIO_CLOSED|ETIMEDOUT|ECANCELED|EEXIST|ECONNREFUSED|ECONNRESET|EPIPE)$/;

/** Starts many calls beside each other, each ended in its way; what was none of the outcomes that it can have. */
export async function storm(attempts: readonly Attempt[]): Promise<string[]> {
  const outcomes = await Promise.all(attempts.map((attempt, index) => one(attempt, index)));
  return outcomes.filter((outcome) => !ALLOWED.test(outcome));
}

async function one({ call, way, turns }: Attempt, index: number): Promise<string> {
  const controller = new AbortController();
  const options = {
    ...(way === 'signal' ? { signal: controller.signal } : {}),
    ...(way === 'deadline' ? { timeout: turns - 1 } : {}),
  };
  const listener = await listenAsync({ host: '127.0.0.1', port: 0 });
  const { port } = (await listener.localAddressAsync()) as { port: number };
  const near = connect({ host: '127.0.0.1', port });
  const far = await listener.acceptAsync();
  const file = await files.openAsync('/data/file', 'r+');
  const opened: { closeAsync(): Promise<void> }[] = [near, far, listener, file];
  const keep = async (opening: Promise<{ closeAsync(): Promise<void> }>): Promise<void> => {
    opened.push(await opening);
  };
  const buffer = new Uint8Array(50_000);
  const calls: Record<Attempt['call'], () => Promise<unknown>> = {
    receive: () => near.receiveAsync(buffer, options),
    accept: () => keep(listener.acceptAsync(options)),
    connect: () => keep(connectAsync({ host: '127.0.0.1', port }, options)),
    send: () => near.sendAsync(buffer, options),
    read: () => file.readAsync(buffer, { position: 4096 * index, ...options }),
    write: () => file.writeAsync(buffer, { position: 4096 * index, ...options }),
    open: () => keep(files.openAsync(`/data/new-${index}`, 'w', options)),
    stat: () => files.statAsync('/data/file', options),
    mkdir: () => files.mkdirAsync(`/data/directory-${index}`, options),
    ping: () => pingAsync(),
  };
  const closings: Promise<void>[] = [];
  const end = (): void => {
    if (way === 'signal') controller.abort();
    if (way === 'close') closings.push(near.closeAsync(), listener.closeAsync(), file.closeAsync());
  };
  if (turns < 0) end();
  const outcome = codeOf(Promise.resolve().then(() => calls[call]()));
  for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
  if (turns >= 0 && way !== 'none') end();
  // What nothing else ends.
  if (way === 'none' && (call === 'receive' || call === 'accept')) {
    await far.closeAsync();
    await listener.closeAsync();
  }
  const code = await outcome;
  await Promise.all(closings);
  for (const thing of opened) await thing.closeAsync();
  return code;
}
