import wasm from '@journeyapps/wa-sqlite/dist/wa-sqlite.wasm';
import { files, SgxioError } from '../../src/enclave.ts';
import { Sqlite } from './database.ts';
import { EnclaveFiles } from './enclave-files.ts';
import { type Audit, Ledger, transferOf } from './ledger.ts';

/**
 * A ledger inside an enclave: SQLite, with its files on a mount. On a protected one the host sees neither rows nor
 * names, changes none unnoticed, and ends the enclave at any moment without a payment lost that was booked.
 *
 * Launch `open` first; one launch at a time.
 */
const loading = Sqlite.load(wasm);
let ledger: Ledger | undefined;

/**
 * Opens the ledger at a path, or makes it. With `journal`, SQLite keeps a rollback journal of its own; without, the sync
 * of a protected mount is what makes a transaction whole, for this program is all that uses it.
 */
export async function open(path: string, journal: boolean): Promise<void> {
  await ledger?.close();
  ledger = undefined;
  ledger = await Ledger.open(await loading, new EnclaveFiles(files, !journal), path);
}

/** Books one transfer after the other, each a transaction of its own, and says how many milliseconds it took. */
export async function book(firstId: number, count: number): Promise<number> {
  const opened = theLedger();
  const started = performance.now();
  for (let id = firstId; id < firstId + count; id++) await opened.book(transferOf(id));
  return performance.now() - started;
}

export async function audit(): Promise<Audit> {
  return await theLedger().audit();
}

export async function close(): Promise<void> {
  await theLedger().close();
  ledger = undefined;
}

function theLedger(): Ledger {
  if (ledger === undefined) throw new SgxioError('SGXIO_INVALID_ARGUMENT', 'launch open first');
  return ledger;
}
