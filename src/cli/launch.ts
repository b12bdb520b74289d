import process from 'node:process';
import { type Command, InvalidArgumentError as InvalidOption, Option } from 'commander';
import { type Strategy, strategies } from '../boundary/boot.ts';
import { InvalidArgumentError } from '../errors.ts';
import type { CallTrace } from '../host/call-trace.ts';
import { Enclave } from '../host/enclave.ts';
import type { Image } from '../image/image.ts';
import { readKey } from './mounts.ts';

export interface LaunchFlags {
  readonly function: string;
  readonly strategy: Strategy;
  readonly directory: Record<string, string>;
  readonly fileSecret?: string;
  readonly stats?: true;
}

/** What every command takes that launches a function of an image. */
export function addLaunchOptions(command: Command): Command {
  return command
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
    .option('--stats', 'print what was counted, to standard error');
}

/** Runs an image in an enclave: one launch, whose result is printed as JSON. */
export async function launchOnce(
  image: Image,
  values: readonly string[],
  flags: LaunchFlags,
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
