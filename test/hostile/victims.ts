import { fileURLToPath } from 'node:url';
import { buildImage } from '../../src/image/build.ts';
import type { Image } from '../../src/image/image.ts';
import type { Script } from '../support/host-side.ts';
import { InProcessHost } from '../support/in-process-host.ts';
import { forgetHandles } from './forget-handles.ts';

let image: Promise<Image> | undefined;

/** The image of `fixtures/victim.ts`, built once. */
export function victim(): Promise<Image> {
  image ??= buildImage(fileURLToPath(new URL('./fixtures/victim.js', import.meta.url)), {
    name: 'victim',
    input: { greeting: 'hello' },
    grants: { connect: ['tcp:127.0.0.1:*'] },
  });
  return image;
}

/** A new enclave's end and a host's in this process. */
export function freshHost(script?: Script<InProcessHost>): InProcessHost {
  forgetHandles();
  const host = new InProcessHost();
  if (script !== undefined) host.script = script;
  return host;
}

/** The code of what a program throws against a script; `unharmed` when it throws nothing. */
export function outcomeOf(script: Script<InProcessHost>, program: () => unknown): Promise<string> {
  return freshHost(script)
    .run(program)
    .then(() => 'unharmed', codeOf);
}

export function codeOf(error: unknown): string {
  return String((error as { code?: unknown }).code);
}
