import { join } from 'node:path';
import { buildImage, Enclave, type EnclaveOptions, type Image, type ManifestInput } from '../../src/index.ts';

/** Builds the program beside a test, given as its path from the root of the sources: `test/host/x.program`. */
export async function buildProgram(path: string, manifest: Partial<ManifestInput> = {}): Promise<Image> {
  return await buildImage(join(import.meta.dirname, '../../..', `${path}.ts`), { name: 'test', ...manifest });
}

/** Runs a test in an enclave of its own, which ends with it. */
export async function withEnclave<Program extends object>(
  image: Image,
  options: EnclaveOptions,
  run: (enclave: Enclave<Program>) => Promise<void>,
): Promise<void> {
  const enclave = await Enclave.create<Program>(image, options);
  try {
    await run(enclave);
  } finally {
    enclave.kill();
    await enclave.exited;
  }
}
