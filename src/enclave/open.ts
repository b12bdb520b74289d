import { SgxioError } from '../errors.ts';
import { adoptHandle } from './handles.ts';
import { runtime } from './runtime.ts';
import { closeAsync, closeSync } from './transfer.ts';

/** Something of the host that is open until it is closed. */
export abstract class Open {
  #handle: number;

  constructor(handle: number) {
    this.#handle = adoptHandle(runtime().calls, handle);
  }

  protected get handle(): number {
    if (this.#handle < 0) throw new SgxioError('SGXIO_CLOSED', 'it was closed before; open it again');
    return this.#handle;
  }

  /** The handle, for an {@link Operation} or a {@link Poller} of this thread. */
  get hostHandle(): number {
    return this.handle;
  }

  get isOpen(): boolean {
    return this.#handle >= 0;
  }

  /** Closes it; calls that wait on it fail with ECANCELED. Closing twice does nothing. */
  close(): void {
    const handle = this.#handle;
    if (handle < 0) return;
    this.#handle = -1;
    closeSync(handle);
  }

  async closeAsync(): Promise<void> {
    const handle = this.#handle;
    if (handle < 0) return;
    this.#handle = -1;
    await closeAsync(handle);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
