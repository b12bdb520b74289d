import { nothing } from '../../src/host/clock.ts';
import { accept, receive } from '../../src/host/net.ts';
import type { Handlers, ServiceFactory } from '../../src/index.ts';

/** When the worker is to die: each is a number of calls of that kind, counted anew by every worker. */
export interface Deaths {
  readonly nothing?: number;
  readonly accept?: number;
  readonly receive?: number;
  /** Dies while it is loaded. */
  readonly atOnce?: boolean;
}

/** sgxio's own services, whose worker dies of an error now and then: before a call is answered, or after. */
const createServices: ServiceFactory = (data): Handlers => {
  const deaths = data as Deaths;
  const left = { nothing: deaths.nothing ?? 0, accept: deaths.accept ?? 0, receive: deaths.receive ?? 0 };
  if (deaths.atOnce === true) throw new Error('it cannot be loaded');
  const dies = (kind: keyof typeof left): boolean => --left[kind] === 0;
  return {
    nothing: (executor, request) => {
      if (dies('nothing')) throw new Error('it dies before it answers');
      nothing(executor, request);
    },
    accept: (executor, request) => {
      accept(executor, request);
      if (dies('accept')) throw new Error('it dies when it has served');
    },
    receive: (executor, request) => {
      if (dies('receive')) throw new Error('it dies before it receives');
      receive(executor, request);
    },
  };
};

export default createServices;
