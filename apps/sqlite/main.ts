import { readFileSync } from 'node:fs';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { MOUNT, startLedger } from './host.ts';
import { ACCOUNTS, FIRST_BALANCE } from './ledger.ts';

/** Books transfers in a ledger that SQLite keeps inside an enclave, and checks it. */
const USAGE = `usage: node dist/apps/sqlite/main.js [options] FOLDER

Books transfers in a database inside an enclave, whose files lie in FOLDER; run it again to go on. With a key file
they are protected: make the mount first with
  sgxio files init FOLDER --key-file FILE --new-key --mount ${MOUNT}

  --key-file FILE       the key of the protected mount; without it the files are plain
  --transfers COUNT     how many to book (1000)
  --journal             let SQLite keep a rollback journal, which a protected mount does not need
  --strategy NAME       exitless, exit, exit-sgx or direct
`;
/** How many are booked between two signs of progress. */
const PART = 100;
const STRATEGIES = ['exitless', 'exit', 'exit-sgx', 'direct'] as const;
const CLEAR_LINE = '\r\x1b[K';

class UsageError extends Error {}

function parse() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      'key-file': { type: 'string' },
      transfers: { type: 'string', default: '1000' },
      journal: { type: 'boolean', default: false },
      strategy: { type: 'string', default: 'exitless' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  const [folder, ...more] = positionals;
  if (folder === undefined || more.length > 0) throw new UsageError('name one folder; --help says more');
  if (!/^\d{1,9}$/.test(values.transfers)) {
    throw new UsageError(`--transfers takes a whole number, not "${values.transfers}"`);
  }
  const strategy = STRATEGIES.find((one) => one === values.strategy);
  if (strategy === undefined) throw new UsageError(`--strategy takes ${STRATEGIES.join(', ')}`);
  const keyFile = values['key-file'];
  const secret = keyFile === undefined ? undefined : readSecret(keyFile);
  return { folder, secret, strategy, transfers: Number(values.transfers), journal: values.journal };
}

function readSecret(path: string): Uint8Array<ArrayBuffer> {
  const secret = Uint8Array.from(Buffer.from(readFileSync(path, 'latin1').trim(), 'hex'));
  if (secret.length === 32) return secret;
  throw new UsageError(`${path} holds no key of 64 hexadecimal digits`);
}

async function run({ transfers, journal, ...host }: NonNullable<ReturnType<typeof parse>>): Promise<void> {
  await using enclave = await startLedger(host);
  await enclave.launch('open', `${MOUNT}/ledger.db`, journal);
  const { lastId } = await enclave.launch('audit');
  let milliseconds = 0;
  for (let done = 0; done < transfers; done += PART) {
    if (process.stderr.isTTY) process.stderr.write(`${CLEAR_LINE}${done} of ${transfers} transfers`);
    milliseconds += await enclave.launch('book', lastId + 1 + done, Math.min(PART, transfers - done));
  }
  if (process.stderr.isTTY) process.stderr.write(CLEAR_LINE);
  const rate =
    transfers === 0
      ? ''
      : ` in ${milliseconds.toFixed(0)} ms, ${Math.round((transfers / milliseconds) * 1000)} a second`;
  console.log(`${transfers} transfers booked${rate}`);
  const audit = await enclave.launch('audit');
  const sound =
    audit.integrity === 'ok' && audit.wrongAccounts === 0 && audit.balance === ACCOUNTS * FIRST_BALANCE;
  console.log(
    `${audit.transfers} transfers in all; integrity ${audit.integrity}; the accounts hold ${audit.balance}, ${sound ? 'as they must' : `and ${audit.wrongAccounts} are wrong`}`,
  );
  await enclave.launch('close');
  if (!sound) process.exitCode = 1;
}

try {
  const parsed = parse();
  if (parsed === undefined) process.stdout.write(USAGE);
  else await run(parsed);
} catch (error) {
  console.error(`sqlite: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}
