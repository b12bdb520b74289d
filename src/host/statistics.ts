import { type CallCounts, COUNTERS, sumCounters } from '../boundary/counters.ts';
import { channelLayout } from '../boundary/layout.ts';
import type { Workers } from './workers.ts';

/** What an enclave and its host have counted since the start. */
export interface EnclaveStatistics {
  /** Counted by the host's workers. All zero where calls are served in place. */
  readonly host: CallCounts;
  /**
   * Counted inside, as the enclave last showed it: every 1024 calls, and whenever it goes to sleep. It is what
   * the enclave says of itself: information, not proof.
   */
  readonly enclave: CallCounts & {
    /** How often it left its program for a system call: sleeps and wake-ups. On SGX each would be an exit. */
    readonly exits: number;
  };
  /** Threads of the host that serve its calls now. */
  readonly workers: number;
  /** Host workers that died and were replaced, or were not. */
  readonly workerDeaths: number;
}

/** Reads the counters of an enclave with so many channels. */
export function readStatistics(
  boundary: SharedArrayBuffer,
  channels: number,
  workers: Workers | undefined,
): EnclaveStatistics {
  const shown = Array.from(
    { length: channels },
    (_, channel) => new Float64Array(boundary, channelLayout(channel).counters, COUNTERS),
  );
  const enclave = sumCounters(shown);
  return {
    host: sumCounters((workers?.journals ?? []).map(({ counters }) => counters.cells)),
    enclave: { ...enclave, exits: enclave.parks + enclave.wakes },
    workers: workers?.running ?? 0,
    workerDeaths: workers?.deaths ?? 0,
  };
}
