import type { CallKindName } from '../boundary/kinds.ts';
import type { Handler } from './executor.ts';
import { services } from './services.ts';

/** Who serves which kind of call. */
export type Handlers = Readonly<Partial<Record<CallKindName, Handler>>>;

/**
 * A module of the host's user that serves some kinds of calls in its own way: a socket that is a device, a
 * network that is a test. It is loaded where calls are served, and takes the place of sgxio's own services.
 */
export interface ServiceModule {
  /** The URL of a module whose default export is a {@link ServiceFactory}. */
  readonly module: string;
  /** Passed to the factory; it must survive `JSON.stringify`. */
  readonly data?: unknown;
}

/** Makes the handlers. `words` is the whole boundary. */
export type ServiceFactory = (data: unknown, words: Int32Array<SharedArrayBuffer>) => Handlers;

/** sgxio's services, with those of the module in their place. */
export async function loadServices(
  custom: ServiceModule | undefined,
  words: Int32Array<SharedArrayBuffer>,
): Promise<Handlers> {
  if (custom === undefined) return services;
  const { default: factory } = (await import(custom.module)) as { default: ServiceFactory };
  return { ...services, ...factory(custom.data, words) };
}
