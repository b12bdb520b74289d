import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { buildImage, Enclave, type EnclaveOptions, type Image, type ManifestInput } from '../../src/index.ts';

/** The strategies that a service is tested under: through the rings, and in place. */
export const STRATEGIES = ['exitless', 'direct'] as const;

export type TestedStrategy = (typeof STRATEGIES)[number];

/** Builds a program that lies beside a test. */
export function buildProgram(
  folder: string,
  name: string,
  manifest: Omit<ManifestInput, 'name'>,
): Promise<Image> {
  return buildImage(join(folder, name), { name: 'tested', ...manifest });
}

/** Runs an image until the test has ended. */
export async function startEnclave(t: TestContext, image: Image, options: EnclaveOptions): Promise<Enclave> {
  const enclave = await Enclave.create(image, { startTimeout: 60_000, ...options });
  t.after(() => enclave.stop());
  return enclave;
}

export function temporaryDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'sgxio-test-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
