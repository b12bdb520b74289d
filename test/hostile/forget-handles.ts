import { forgetHandle } from '../../src/enclave/handles.ts';
import { HANDLES_MAX } from '../../src/limits.ts';

/** Makes the handles of this thread as they are in a new enclave. */
export function forgetHandles(): void {
  for (let handle = 0; handle < HANDLES_MAX; handle++) forgetHandle(handle);
}
