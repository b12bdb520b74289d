import { files } from '../../src/enclave.ts';

export { pingsAsync, serve } from './echo-program.ts';

const AT_ONCE = 16;

/** Asks for a file again and again; how deep it lies decides how much that costs a worker, and not the enclave. */
export async function ask(path: string, count: number): Promise<number> {
  let failed = 0;
  for (let done = 0; done < count; done += AT_ONCE) {
    const asked = Array.from({ length: AT_ONCE }, () => files.statAsync(path));
    failed += (await Promise.allSettled(asked)).filter(({ status }) => status === 'rejected').length;
  }
  return failed;
}
