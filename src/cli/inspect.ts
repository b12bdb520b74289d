import type { Command } from 'commander';
import { readImage } from '../image/file.ts';

/** `sgxio inspect`: what an image is and asks for. */
export function addInspect(program: Command): void {
  program
    .command('inspect')
    .description('check that an image is whole and print its measurement and manifest as JSON')
    .argument('<file>', 'an image that sgxio build wrote')
    .addHelpText('after', '\nExample:\n  $ sgxio inspect server.sgxio')
    .action(inspect);
}

async function inspect(file: string): Promise<void> {
  const { manifest, code, measurement } = await readImage(file);
  console.log(JSON.stringify({ measurement, codeBytes: code.length, manifest }, null, 2));
}
