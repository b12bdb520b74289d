import { Console } from 'node:console';
import { Writable } from 'node:stream';
import type { StreamName } from '../boundary/grants.ts';
import { runtime } from './runtime.ts';
import { type OutputStream, stderr, stdout } from './streams.ts';

/**
 * Gives the program a console that prints to the standard streams that the image was granted, in the order in
 * which it was called. What goes to others is dropped: an enclave has no streams of its own.
 */
export function installConsole(): void {
  const console = new Console({
    stdout: output('stdout', stdout),
    stderr: output('stderr', stderr),
    colorMode: false,
  });
  Object.defineProperty(globalThis, 'console', {
    value: console,
    writable: true,
    enumerable: false,
    configurable: true,
  });
}

function output(name: StreamName, open: () => OutputStream): Writable {
  const granted = runtime().grants.streams.includes(name);
  let stream: OutputStream | undefined;
  return new Writable({
    write(chunk: Uint8Array<ArrayBuffer>, _encoding, done) {
      try {
        if (granted) {
          stream ??= open();
          stream.write(chunk);
        }
        done();
      } catch (error) {
        done(error as Error);
      }
    },
  });
}
