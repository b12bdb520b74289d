import { writeSync } from 'node:fs';
import process from 'node:process';
import { MOUNT, startLedger } from '../../../apps/sqlite/host.ts';

/**
 * The host of a ledger that books transfers until it is killed: says the process of its enclave, what the audit
 * found, and then the number of each transfer once it is booked.
 *
 *   node ledger.child.js FOLDER SECRET JOURNAL
 */
const [folder, secret, journal] = process.argv.slice(2) as [string, string, string];
const enclave = await startLedger({ folder, secret: Uint8Array.from(Buffer.from(secret, 'hex')) });
writeSync(1, `${enclave.pid}\n`);
await enclave.launch('open', `${MOUNT}/ledger.db`, journal === 'journal');
const audit = await enclave.launch('audit');
writeSync(1, `${JSON.stringify(audit)}\n`);
for (let id = audit.lastId + 1; ; id++) {
  await enclave.launch('book', id, 1);
  writeSync(1, `${id}\n`);
}
