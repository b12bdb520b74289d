import { FILE_SECRET_BYTES } from '../../limits.ts';
import { sharedRegion } from '../private-memory.ts';

const REGION = 'sgxio-file-secret';

/** Whether there is one: it is asked for on every thread, and kept on the first. */
function place(): Uint8Array<ArrayBuffer> {
  return sharedRegion(REGION, FILE_SECRET_BYTES + 1).bytes.subarray(0, FILE_SECRET_BYTES + 1);
}

/** Copies the host's secret for protected mounts into private memory, where every thread finds it. */
export function keepFileSecret(secret: Uint8Array<SharedArrayBuffer>): void {
  const kept = place();
  kept.set(secret);
  kept[FILE_SECRET_BYTES] = 1;
}

/** The secret that this enclave was started with. */
export function fileSecret(): Uint8Array<ArrayBuffer> | undefined {
  const kept = place();
  return kept[FILE_SECRET_BYTES] === 1 ? kept.slice(0, FILE_SECRET_BYTES) : undefined;
}
