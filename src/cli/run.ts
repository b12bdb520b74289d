import process from 'node:process';
import { type Command, InvalidArgumentError as InvalidOption, Option } from 'commander';
import { type Strategy, strategies } from '../boundary/boot.ts';
import { InvalidArgumentError } from '../errors.ts';
import { CallTrace } from '../host/call-trace.ts';
import { Enclave } from '../host/enclave.ts';
import { readImage } from '../image/file.ts';
import type { Image } from '../image/image.ts';
import { readKey } from './mounts.ts';

interface RunFlags {
  readonly function: string;
  readonly strategy: Strategy;
  readonly directory: Record<string, string>;
  readonly fileSecret?: string;
  readonly stats?: true;
  readonly trace?: string;
}

/** `sgxio run`: an image in an enclave, one launch, its result. */
export function addRun(program: Command): void {
  program
    .command('run')
    .description('run an image in an enclave: launch one of its functions and print the result as JSON')
    .argument('<file>', 'an image that sgxio build wrote')
    .argument('[arguments...]', 'arguments of the function: JSON where they parse as such, else text')
    .option('-f, --function <name>', 'which exported function to launch', 'main')
    .addOption(
      new Option('-s, --strategy <name>', 'how its calls are made')
        .choices([...strategies])
        .default('exitless'),
    )
    .option(
      '-d, --directory <mount=path>',
      "a directory of this machine for one of the image's mounts",
      addDirectory,
      {},
    )
    .option('--file-secret <file>', "the key file that the keys of the image's protected mounts come from")
    .option('--stats', 'print what was counted, to standard error')
    .option('--trace <file>', 'write each call to a file that ui.perfetto.dev shows')
    .addHelpText(
      'after',
      `
Examples:
  $ sgxio run greeter.sgxio world                         launch main('world')
  $ sgxio run store.sgxio -f count -d /data=./data        with a directory that the image was granted
  $ sgxio run server.sgxio --strategy exit --stats        the same with exits, counted
  $ sgxio run server.sgxio --trace calls.json             each call on a line of time`,
    )
    .action(run);
}

async function run(file: string, values: readonly string[], flags: RunFlags): Promise<void> {
  const image = await readImage(file);
  if (flags.trace === undefined) return launchIn(image, values, flags);
  const trace = await CallTrace.create(flags.trace);
  try {
    await launchIn(image, values, flags, trace);
  } finally {
    const { calls, dropped } = await trace.close();
    console.error(`sgxio: ${calls} calls in ${flags.trace}${dropped === 0 ? '' : `, ${dropped} left out`}`);
  }
}

async function launchIn(
  image: Image,
  values: readonly string[],
  flags: RunFlags,
  trace?: CallTrace,
): Promise<void> {
  const { strategy, directory, fileSecret } = flags;
  const options = {
    strategy,
    directories: directory,
    ...(fileSecret === undefined ? {} : { fileSecret: readKey(fileSecret, undefined) }),
    ...(trace === undefined ? {} : { trace }),
  };
  await using enclave = await Enclave.create(image, options);
  const stop = (): void => void enclave.stop();
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  const result = await enclave.launch(flags.function, ...values.map(parseValue));
  if (result !== undefined) console.log(JSON.stringify(result, showBigInt));
  if (flags.stats === true) console.error(JSON.stringify(enclave.stats(), null, 2));
}

function parseValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function showBigInt(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}

function addDirectory(text: string, directories: Record<string, string>): Record<string, string> {
  const split = text.indexOf('=');
  if (split < 1) throw new InvalidOption("It is written mount=path, such as '/data=./data'.");
  const mount = text.slice(0, split);
  if (Object.hasOwn(directories, mount)) throw new InvalidArgumentError(`${mount} is given twice`);
  return { ...directories, [mount]: text.slice(split + 1) };
}
