import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { describe, type TestContext, test } from 'node:test';
import { MOUNT, startLedger } from '../../../apps/sqlite/host.ts';
import { ACCOUNTS, type Audit, FIRST_BALANCE, transferOf } from '../../../apps/sqlite/ledger.ts';
import { initMount, openMount } from '../../../src/cli/mounts.ts';
import { deriveMountKey } from '../../../src/enclave/protected/keys.ts';
import { FileTamperedError } from '../../../src/errors.ts';
import { temporaryDirectory } from '../../support/service-enclaves.ts';

const SECRET = new Uint8Array(32).fill(9);
const KEY = deriveMountKey(SECRET, MOUNT);
const PATH = `${MOUNT}/ledger.db`;
const STORE = 'files.sgxio';
const BLOCK_BYTES = 4096;
/** After how many booked transfers each life of the ledger ends. */
const LIVES: readonly number[] = [1, 8, 3, 24];

function protectedFolder(t: TestContext): string {
  const folder = temporaryDirectory(t);
  initMount(folder, KEY);
  return folder;
}

function requireSound({ transfers, ...audit }: Audit, acknowledged: number): void {
  assert.ok(
    transfers === acknowledged || transfers === acknowledged + 1,
    `${transfers} transfers, of which ${acknowledged} were acknowledged`,
  );
  const balance = ACCOUNTS * FIRST_BALANCE;
  assert.deepEqual(audit, { integrity: 'ok', lastId: transfers, balance, wrongAccounts: 0 });
}

interface Life {
  /** Of what the last life left. */
  readonly audit: Audit;
  /** The last transfer that was booked. */
  readonly acknowledged: number;
}

/** Books until so many transfers were acknowledged, then kills host and enclave. */
async function liveAndDie(folder: string, journal: string, count: number): Promise<Life> {
  const script = join(import.meta.dirname, 'ledger.child.js');
  const host = spawn(process.execPath, [script, folder, Buffer.from(SECRET).toString('hex'), journal], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(host, 'exit');
  const lines: string[] = [];
  for await (const line of createInterface({ input: host.stdout! })) {
    lines.push(line);
    if (lines.length !== 2 + count) continue;
    const pids = [host.pid!, Number(lines[0])];
    for (const pid of count % 2 === 0 ? pids : pids.reverse()) kill(pid);
  }
  assert.deepEqual(await ended, [null, 'SIGKILL']);
  return { audit: JSON.parse(lines[1]!) as Audit, acknowledged: Number(lines.at(-1)) };
}

function kill(victim: number): void {
  try {
    process.kill(victim, 'SIGKILL');
  } catch (error) {
    // An enclave dies with its host.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

for (const journal of ['journal', 'no journal']) {
  test(`killed again and again with ${journal}, the ledger keeps every acknowledged transfer`, async (t) => {
    const folder = protectedFolder(t);
    let booked = 0;
    for (const count of LIVES) {
      const { audit, acknowledged } = await liveAndDie(folder, journal, count);
      requireSound(audit, booked);
      booked = acknowledged;
    }
    await using enclave = await startLedger({ folder, secret: SECRET });
    await enclave.launch('open', PATH, journal === 'journal');
    requireSound(await enclave.launch('audit'), booked);
  });
}

describe('the host', () => {
  test('finds no row, no name and no word of the schema in its file', async (t) => {
    const folder = protectedFolder(t);
    {
      await using enclave = await startLedger({ folder, secret: SECRET });
      await enclave.launch('open', PATH, true);
      await enclave.launch('book', 1, 50);
      await enclave.launch('close');
    }
    const store = readFileSync(join(folder, STORE));
    assert.ok(store.length > 50_000);
    for (const text of [transferOf(7).memo, 'owner 1', 'ledger.db', 'SQLite', 'CREATE TABLE', 'transfer']) {
      assert.equal(store.includes(text), false, text);
    }
    using mount = openMount(folder, KEY, 'read');
    using file = mount.open('/ledger.db');
    const plain = new Uint8Array(mount.stat('/ledger.db').size);
    file.read(plain);
    assert.ok(Buffer.from(plain).includes(transferOf(7).memo));
  });

  test('changes no row: the database reports the file and the block', async (t) => {
    const folder = protectedFolder(t);
    {
      await using enclave = await startLedger({ folder, secret: SECRET });
      await enclave.launch('open', PATH, false);
      await enclave.launch('book', 1, 200);
      await enclave.launch('close');
    }
    const store = join(folder, STORE);
    const intact = readFileSync(store);
    writeFileSync(store, changedIn(folder, intact, 'ledger.db'));
    await assert.rejects(
      async () => {
        await using enclave = await startLedger({ folder, secret: SECRET });
        await enclave.launch('open', PATH, false);
        await enclave.launch('audit');
      },
      {
        innerName: 'FileTamperedError',
        innerCode: 'SGXIO_FILE_TAMPERED',
        message: /^\/ledger\/ledger\.db: block [1-9]\d* is not what was written there$/,
      },
    );
    writeFileSync(store, intact);
    await using enclave = await startLedger({ folder, secret: SECRET });
    await enclave.launch('open', PATH, false);
    requireSound(await enclave.launch('audit'), 200);
  });
});

/** A store with one bit changed, in a block of a file that is not its first. */
function changedIn(folder: string, intact: Buffer, file: string): Buffer {
  for (let slot = 4; slot < intact.length / BLOCK_BYTES; slot++) {
    const changed = Buffer.from(intact);
    changed[slot * BLOCK_BYTES + 100]! ^= 1;
    writeFileSync(join(folder, STORE), changed);
    const damaged = damagedBlock(folder, file);
    if (damaged !== undefined && damaged > 0) return changed;
  }
  throw new Error(`no block of ${file} was found`);
}

function damagedBlock(folder: string, name: string): number | undefined {
  using mount = openMount(folder, KEY, 'read');
  try {
    using file = mount.open(`/${name}`);
    file.read(new Uint8Array(file.stat().size));
    return undefined;
  } catch (error) {
    return error instanceof FileTamperedError && error.path.endsWith(name) ? error.block : undefined;
  }
}
