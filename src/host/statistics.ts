import { type CallCounts, COUNTERS, sumCounters } from '../boundary/counters.ts';
import { channelLayout } from '../boundary/layout.ts';
import type { WorkerThread } from './worker-thread.ts';

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
  /** Host workers that died and were replaced, or were not. */
  readonly workerDeaths: number;
}

/** Reads the counters of an enclave with so many channels. */
export function readStatistics(
  boundary: SharedArrayBuffer,
  channels: number,
  workers: readonly WorkerThread[],
): EnclaveStatistics {
  const shown = Array.from(
    { length: channels },
    (_, channel) => new Float64Array(boundary, channelLayout(channel).counters, COUNTERS),
  );
  const enclave = sumCounters(shown);
  return {
    host: sumCounters(workers.map((worker) => worker.journal.counters.cells)),
    enclave: { ...enclave, exits: enclave.parks + enclave.wakes },
    workerDeaths: workers.reduce((sum, worker) => sum + worker.deaths, 0),
  };
}
