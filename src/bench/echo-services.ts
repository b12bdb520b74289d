import { constants } from 'node:os';
import { CONTROL } from '../boundary/layout.ts';
import type { ServiceFactory } from '../host/custom-services.ts';

const ROUNDS_MAX = 1_000_000;
/** Looks in a row without a new word before the other side is taken for gone. */
const LOOKS_MAX = 1_000_000_000;

/**
 * Serves `a0` bare exchanges: answers each new value of one word with the same value in another. It holds the
 * worker meanwhile.
 */
const createServices: ServiceFactory = (_data, words) => ({
  echo: (executor, request) => {
    const rounds = request.a0;
    if (rounds < 1 || rounds > ROUNDS_MAX) return executor.complete(request.id, -constants.errno.EINVAL);
    const ping = CONTROL.ping >> 2;
    const pong = CONTROL.pong >> 2;
    let seen = Atomics.load(words, ping);
    executor.complete(request.id, 0);
    for (let round = 0, looks = 0; round < rounds && looks < LOOKS_MAX; looks++) {
      const value = Atomics.load(words, ping);
      if (value === seen) continue;
      seen = value;
      Atomics.store(words, pong, value);
      round++;
      looks = 0;
    }
  },
});

export default createServices;
