import type { Command } from 'commander';
import { readImage } from '../image/file.ts';
import { addLaunchOptions, type LaunchFlags, launchOnce } from './launch.ts';

/** `sgxio run`: an image in an enclave, one launch, its result. */
export function addRun(program: Command): void {
  const command = program
    .command('run')
    .description('run an image in an enclave: launch one of its functions and print the result as JSON');
  addLaunchOptions(command)
    .addHelpText(
      'after',
      `
Examples:
  $ sgxio run greeter.sgxio world                         launch main('world')
  $ sgxio run store.sgxio -f count -d /data=./data        with a directory that the image was granted
  $ sgxio run server.sgxio --strategy exit --stats        the same with exits, counted`,
    )
    .action(async (file: string, values: string[], flags: LaunchFlags) =>
      launchOnce(await readImage(file), values, flags),
    );
}
