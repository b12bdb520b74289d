import { readFile } from 'node:fs/promises';
import { parse } from 'node:path';
import type { Command } from 'commander';
import { InvalidArgumentError } from '../errors.ts';
import { buildImage } from '../image/build.ts';
import { writeImage } from '../image/file.ts';
import type { ManifestInput } from '../image/manifest.ts';

interface BuildOptions {
  readonly output: string;
  readonly manifest?: string;
}

/** `sgxio build`: a program becomes an image. */
export function addBuild(program: Command): void {
  program
    .command('build')
    .description('bundle a TypeScript or JavaScript program into an image; prints its measurement and file')
    .argument('<entry>', 'the module whose exports can be launched')
    .requiredOption('-o, --output <file>', 'where to write the image')
    .option('--manifest <file>', 'JSON: name, privateMemoryBytes, threads, grants, input')
    .addHelpText(
      'after',
      `
Without a manifest the image is named after its entry, has 1 MiB of private memory and one thread, and may ask
for clocks only. A manifest for a server:
  { "name": "server", "privateMemoryBytes": 4194304, "grants": { "listen": ["tcp:127.0.0.1:8080"] } }

Examples:
  $ sgxio build server.ts -o server.sgxio --manifest server.json
  $ sgxio build hash.js -o hash.sgxio`,
    )
    .action(build);
}

async function build(entry: string, { output, manifest }: BuildOptions): Promise<void> {
  const written = manifest === undefined ? {} : await readManifest(manifest);
  const image = await buildImage(entry, { name: nameOf(entry), ...written });
  await writeImage(output, image);
  console.log(`${image.measurement}  ${output}`);
}

function nameOf(entry: string): string {
  return parse(entry).name.toLowerCase();
}

/** An object that the builder then checks key by key. */
async function readManifest(path: string): Promise<Partial<ManifestInput>> {
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'));
    if (value instanceof Object) return value;
  } catch (cause) {
    throw new InvalidArgumentError(`The manifest ${path} cannot be read: ${(cause as Error).message}.`, {
      cause,
    });
  }
  throw new InvalidArgumentError(`The manifest ${path} holds no object.`);
}
