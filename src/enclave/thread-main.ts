import { enclaveEnvironment } from './environment.ts';
import { startThread } from './start-thread.ts';

/** A thread of an enclave beside its first. */
startThread(enclaveEnvironment);
