import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { describe, test } from 'node:test';
import { Sqlite } from '../../../apps/sqlite/database.ts';
import { EnclaveFiles } from '../../../apps/sqlite/enclave-files.ts';
import { ACCOUNTS, FIRST_BALANCE, Ledger, transferOf } from '../../../apps/sqlite/ledger.ts';
import { SystemError } from '../../../src/errors.ts';
import {
  crashed,
  createMount,
  type HostFile,
  openMount,
  type Step,
  seededRandom,
} from '../../enclave/protected/support.ts';

const WASM = createRequire(import.meta.url).resolve('@journeyapps/wa-sqlite/dist/wa-sqlite.wasm');
const PATH = '/ledger.db';
const TRANSFERS = 30;
const sqlite = await Sqlite.load(new Uint8Array(readFileSync(WASM)));

for (const undisturbed of [false, true]) {
  describe(undisturbed ? 'without a journal' : 'with a rollback journal', () => {
    const openLedger = (file: HostFile): Promise<Ledger> =>
      Ledger.open(sqlite, new EnclaveFiles(openMount(file), undisturbed), PATH);

    test('a crash at any write leaves every booked transfer and a sound database', async () => {
      const { file } = createMount();
      const ledger = await openLedger(file);
      const journal: Step[] = [{ position: 0, bytes: file.content.slice() }, 'sync'];
      file.journal = journal;
      /** After how many steps each transfer was booked. */
      const booked: number[] = [];
      for (let id = 1; id <= TRANSFERS; id++) {
        await ledger.book(transferOf(id));
        booked.push(journal.length);
      }
      const chance = seededRandom(1);
      let halfway = 0;
      for (let cut = 2; cut <= journal.length; cut++) {
        const again = await openLedger(crashed(journal.slice(0, cut), chance));
        const acknowledged = booked.filter((steps) => steps <= cut).length;
        const count = (await again.audit()).transfers;
        await requireSound(again, count);
        assert.ok(count === acknowledged || count === acknowledged + 1, `${count} of ${acknowledged}`);
        if (cut > (booked[acknowledged - 1] ?? 2)) halfway++;
        await again.book(transferOf(count + 1));
      }
      assert.ok(halfway > TRANSFERS, `${halfway} cuts in the middle of a transfer`);
    });

    test('a transfer that the disk has no room for counts as none, and the next ones go on', async () => {
      const { file } = createMount();
      const ledger = await openLedger(file);
      await ledger.book(transferOf(1));
      let count = 1;
      for (let failing = 0; ; failing++) {
        let writes = 0;
        file.beforeWrite = () => {
          if (writes++ >= failing) throw new SystemError('ENOSPC', -constants.errno.ENOSPC, 'write');
        };
        const outcome = await ledger.book(transferOf(count + 1)).catch((error: unknown) => error);
        file.beforeWrite = undefined;
        if (outcome === undefined) break;
        assert.equal((outcome as { code?: unknown }).code, 'ENOSPC');
        // A journal that was not cut in the end leaves it to what comes next whether the transfer counts.
        const { transfers } = await ledger.audit();
        if (undisturbed) assert.equal(transfers, count);
        await requireSound(ledger, transfers);
        count = transfers + 1;
        await ledger.book(transferOf(count));
        await requireSound(await openLedger(file.copy()), count);
      }
      await requireSound(ledger, count + 1);
      assert.ok(count > 3, `${count} transfers`);
    });
  });
}

async function requireSound(ledger: Ledger, count: number): Promise<void> {
  assert.deepEqual(await ledger.audit(), {
    integrity: 'ok',
    transfers: count,
    lastId: count,
    balance: ACCOUNTS * FIRST_BALANCE,
    wrongAccounts: 0,
  });
}
