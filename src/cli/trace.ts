import type { Command } from 'commander';
import type { Strategy } from '../boundary/boot.ts';
import { InvalidArgumentError } from '../errors.ts';
import { CallTrace } from '../host/call-trace.ts';
import { readImage } from '../image/file.ts';
import { addLaunchOptions, type LaunchFlags, launchOnce } from './launch.ts';

/** `sgxio trace`: what `sgxio run` does, with each call of it on a line of time. */
export function addTrace(program: Command): void {
  const command = program
    .command('trace')
    .description('run an image, and write each call that it makes to a file that ui.perfetto.dev shows');
  addLaunchOptions(command)
    .option('-o, --output <file>', 'the file', 'trace.json')
    .addHelpText(
      'after',
      `
Examples:
  $ sgxio trace greeter.sgxio world                       launch main('world'), its calls in trace.json
  $ sgxio trace store.sgxio -f count -o count.json        one function, in a file of that name`,
    )
    .action(trace);
}

const inPlace: ReadonlySet<Strategy> = new Set<Strategy>(['direct', 'exit-sgx']);

async function trace(
  file: string,
  values: readonly string[],
  { output, ...flags }: LaunchFlags & { readonly output: string },
): Promise<void> {
  if (inPlace.has(flags.strategy)) {
    throw new InvalidArgumentError(
      `under ${flags.strategy} the program makes its calls itself and no worker sees them: trace exitless or exit`,
    );
  }
  const image = await readImage(file);
  const calls = await create(output);
  try {
    await launchOnce(image, values, flags, calls);
  } finally {
    const { calls: count, dropped } = await calls.close();
    console.error(`sgxio: ${count} calls in ${output}${dropped === 0 ? '' : `, ${dropped} left out`}`);
  }
}

async function create(output: string): Promise<CallTrace> {
  try {
    return await CallTrace.create(output);
  } catch (cause) {
    throw new InvalidArgumentError(`The file ${output} cannot be written: ${(cause as Error).message}`, {
      cause,
    });
  }
}
