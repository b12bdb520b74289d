import { pingAsync, streams } from '../../src/enclave.ts';

/** Copies the input to the output, in capitals, and says how many bytes it was. */
export async function capitals(asynchronous: boolean): Promise<number> {
  using input = streams.stdin();
  using output = streams.stdout();
  const buffer = new Uint8Array(50_000);
  let total = 0;
  for (;;) {
    const length = asynchronous ? await input.readAsync(buffer) : input.read(buffer);
    if (length === 0) return total;
    total += length;
    const text = Buffer.from(buffer.subarray(0, length)).toString().toUpperCase();
    const bytes = new Uint8Array(Buffer.from(text));
    if (asynchronous) await output.writeAsync(bytes);
    else output.write(bytes);
  }
}

export function print(): void {
  console.log('to the output: %d', 1);
  console.error('to the errors');
  console.table([{ a: 1 }]);
}

/** A read that is given up leaves what comes later to the next. */
export async function giveUp(): Promise<string> {
  using input = streams.stdin();
  const buffer = new Uint8Array(100);
  const late = await input.readAsync(buffer, { timeout: 5 }).catch((error: { code: string }) => error.code);
  using output = streams.stdout();
  output.write(new Uint8Array(Buffer.from('now\n')));
  const length = input.read(buffer);
  return `${late} ${Buffer.from(buffer.subarray(0, length))}`;
}

export function refused(): string {
  return codeOf(() => streams.stdin());
}

function codeOf(call: () => unknown): string {
  try {
    call();
    return 'nothing thrown';
  } catch (error) {
    return (error as { code: string }).code;
  }
}

/** What is refused at the call. */
export function misuse(): Record<string, string> {
  const [input, output] = [streams.stdin(), streams.stdout()];
  const shared = new Uint8Array(new SharedArrayBuffer(8)) as unknown as Uint8Array<ArrayBuffer>;
  const tried: Record<string, () => unknown> = {
    'shared read': () => input.read(shared),
    'shared write': () => output.write(shared),
    'a text': () => output.write('text' as unknown as Uint8Array<ArrayBuffer>),
    'no timeout': () => input.read(new Uint8Array(1), { timeout: Number.NaN }),
    late: () => input.read(new Uint8Array(1), { timeout: -1 }),
    closed: () => {
      for (const stream of [input, input, output, output]) stream.close();
      input.read(new Uint8Array(1));
    },
    'closed, nothing written': () => output.write(new Uint8Array(0)),
  };
  return Object.fromEntries(Object.entries(tried).map(([name, call]) => [name, codeOf(call)]));
}

/** Writes more than anything takes at once; says how that failed. */
export function write(): string {
  using output = streams.stdout();
  return codeOf(() => output.write(new Uint8Array(1_000_000)));
}

/** Reads while the worker dies again and again, and writes between: what each read brought, and each ping. */
export async function outlive(rounds: number): Promise<string[]> {
  using input = streams.stdin();
  using output = streams.stdout();
  const buffer = new Uint8Array(100);
  const told: string[] = [];
  for (let round = 0; round < rounds; round++) {
    const reading = input.readAsync(buffer);
    told.push(
      await pingAsync().then(
        () => 'lived',
        (error: { code: string }) => error.code,
      ),
    );
    await output.writeAsync(new Uint8Array(Buffer.from(`${round}`)));
    told.push(Buffer.from(buffer.subarray(0, await reading)).toString());
  }
  return told;
}

/** Prints a line after the other, each while the worker dies; how each went. */
export async function printDying(rounds: number): Promise<string[]> {
  using output = streams.stdout();
  const told: string[] = [];
  for (let round = 0; round < rounds; round++) {
    const line = new Uint8Array(Buffer.from(`line ${round}\n`));
    const [printed] = await Promise.allSettled([output.writeAsync(line), pingAsync()]);
    told.push(printed.status === 'fulfilled' ? 'printed' : (printed.reason as { code: string }).code);
  }
  return told;
}
