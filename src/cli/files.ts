import { closeSync, openSync, readSync } from 'node:fs';
import process from 'node:process';
import { pipeline } from 'node:stream/promises';
import type { Command } from 'commander';
import { Progress } from '../bench/progress.ts';
import { formatTable } from '../bench/table.ts';
import type { ProtectedFile, ProtectedMount } from '../enclave/protected/mount.ts';
import { InvalidArgumentError } from '../errors.ts';
import { copyMount, verifyMount } from './mount-walk.ts';
import { createKeyFile, initMount, openMount, readKey, replace, startReplacement } from './mounts.ts';

const PIECE_BYTES = 1_048_576;
/** What a damaged mount ends with. */
const DAMAGED = 1;

interface KeyFlags {
  readonly keyFile: string;
  readonly mount?: string;
}

/** `sgxio files`: protected mounts in directories of the host, for who has their key. */
export function addFiles(program: Command): void {
  const files = program
    .command('files')
    .description('create, read, fill, check and re-key protected mounts, outside an enclave')
    .addHelpText(
      'after',
      `
A key file holds 32 bytes, or 64 hexadecimal digits. With --mount the key is derived from it, as it is for an enclave
that was started with it as fileSecret.

Examples:
  $ sgxio files init srv/data --key-file secret --new-key --mount /data
  $ sgxio files put srv/data model.bin /models/model.bin --key-file secret --mount /data
  $ sgxio files verify srv/data --key-file secret --mount /data`,
    );
  withKey(files.command('init'))
    .description('create an empty mount in a directory')
    .argument('<directory>')
    .option('--new-key', 'draw a key and write it to the key file, which must not be there')
    .action(init);
  withKey(files.command('ls'))
    .description('list a directory of a mount')
    .argument('<directory>')
    .argument('[path]', 'in the mount', '/')
    .action(list);
  withKey(files.command('cat'))
    .description('write a file of a mount to standard output')
    .argument('<directory>')
    .argument('<path>', 'in the mount')
    .action(print);
  withKey(files.command('put'))
    .description('copy a file of this machine into a mount, with the directories above it')
    .argument('<directory>')
    .argument('<source>')
    .argument('<path>', 'in the mount')
    .action(put);
  withKey(files.command('verify'))
    .description('read all of a mount and name what is wrong; ends with 1 if anything is')
    .argument('<directory>')
    .action(verify);
  withKey(files.command('rekey'))
    .description('seal a mount anew under another key; it needs as much free space as the mount takes')
    .argument('<directory>')
    .requiredOption('--new-key-file <file>', 'the key from now on')
    .action(rekey);
}

function withKey(command: Command): Command {
  return command
    .requiredOption('-k, --key-file <file>', 'the key of the mount')
    .option('-m, --mount <path>', "derive the mount's key for this path");
}

function keyOf({ keyFile, mount }: KeyFlags): Uint8Array<ArrayBuffer> {
  return readKey(keyFile, mount);
}

function init(directory: string, { newKey, ...flags }: KeyFlags & { newKey?: true }): void {
  if (newKey === true) createKeyFile(flags.keyFile);
  initMount(directory, keyOf(flags));
}

function list(directory: string, path: string, flags: KeyFlags): void {
  using mount = openMount(directory, keyOf(flags), 'read');
  const rows = mount
    .readdir(path)
    .sort((left, right) => (left.name < right.name ? -1 : 1))
    .map(({ name, type }) => {
      const { size, mode, mtimeMs } = mount.stat(`${path}/${name}`);
      const permissions = (mode & 0o7777).toString(8).padStart(4, '0');
      const shown = type === 'directory' ? `${name}/` : name;
      return [
        permissions,
        type === 'directory' ? '' : String(size),
        new Date(mtimeMs).toISOString(),
        JSON.stringify(shown).slice(1, -1),
      ];
    });
  if (rows.length === 0) return;
  const columns = ['mode', 'bytes', 'modified', 'name'].map((title) => ({
    title,
    align: title === 'bytes' ? ('right' as const) : ('left' as const),
  }));
  console.log(formatTable(columns, rows));
}

async function print(directory: string, path: string, flags: KeyFlags): Promise<void> {
  using mount = openMount(directory, keyOf(flags), 'read');
  using file = mount.open(path);
  try {
    await pipeline(piecesOf(file), process.stdout, { end: false });
  } catch (error) {
    // Who reads has seen enough.
    if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error;
  }
}

function* piecesOf(file: ProtectedFile): Generator<Uint8Array> {
  for (;;) {
    const piece = new Uint8Array(PIECE_BYTES);
    const count = file.read(piece);
    if (count === 0) return;
    yield piece.subarray(0, count);
  }
}

function put(directory: string, source: string, path: string, flags: KeyFlags): void {
  const from = openSource(source);
  try {
    using mount = openMount(directory, keyOf(flags), 'read-write');
    makeParents(mount, path);
    using file = mount.open(path, 'w');
    const piece = new Uint8Array(PIECE_BYTES);
    for (let count = readSync(from, piece); count > 0; count = readSync(from, piece)) {
      file.write(piece.subarray(0, count));
    }
  } finally {
    closeSync(from);
  }
}

function openSource(source: string): number {
  try {
    return openSync(source, 'r');
  } catch (cause) {
    throw new InvalidArgumentError(`${source} cannot be read: ${(cause as Error).message}`, { cause });
  }
}

function makeParents(mount: ProtectedMount, path: string): void {
  let parent = '';
  for (const name of path
    .split('/')
    .filter((part) => part !== '')
    .slice(0, -1)) {
    const there = mount.readdir(parent).some((entry) => entry.name === name);
    parent += `/${name}`;
    if (!there) mount.mkdir(parent);
  }
}

function verify(directory: string, flags: KeyFlags): void {
  using mount = openMount(directory, keyOf(flags), 'read');
  const { tell, end } = showProgress();
  const damage = verifyMount(mount, tell);
  end();
  for (const { message } of damage) console.log(message);
  if (damage.length > 0) process.exitCode = DAMAGED;
  else console.log('everything is as it was written');
}

function rekey(directory: string, flags: KeyFlags & { newKeyFile: string }): void {
  const key = keyOf(flags);
  const newKey = readKey(flags.newKeyFile, flags.mount);
  // Held open to the end, so that nobody else changes what is copied.
  using from = openMount(directory, key, 'read-write');
  const to = startReplacement(directory, newKey);
  const { tell, end } = showProgress();
  copyMount(from, to, tell);
  to.close();
  replace(directory);
  end();
}

/** One step for each file; how many there are is known at the first. */
function showProgress(): { tell: (path: string, done: number, total: number) => void; end: () => void } {
  let progress: Progress | undefined;
  return {
    tell: (path, _done, total) => {
      progress ??= new Progress(process.stderr, total);
      progress.step(path);
    },
    end: () => progress?.end(),
  };
}
