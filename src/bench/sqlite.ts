import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Sqlite } from '../../apps/sqlite/database.ts';
import { Ledger, transferOf } from '../../apps/sqlite/ledger.ts';
import { NodeFiles } from '../../apps/sqlite/node-files.ts';
import type * as program from '../../apps/sqlite/program.ts';
import { Enclave } from '../host/enclave.ts';
import { buildImage } from '../image/build.ts';
import { processorOfBoth } from './processor-time.ts';
import { median } from './statistics.ts';
import { type Row, rounded } from './suite.ts';

const WASM = createRequire(import.meta.url).resolve('@journeyapps/wa-sqlite/dist/wa-sqlite.wasm');
/** Of each contender in each round; every one is synced. */
const TRANSACTIONS = 200;
const NANOSECONDS_A_MILLISECOND = 1e6;

export interface SqliteOptions {
  /** Where the plain mount and the protected one lie, in folders of these names; and `node_fs`. */
  readonly root: string;
  readonly secret: Uint8Array<ArrayBuffer>;
  readonly cacheBytes: number;
  readonly rounds: number;
}

/** Books transactions from a number on, and says how many milliseconds that took. */
type Book = (firstId: number) => Promise<number>;

/**
 * Transactions a second of one SQLite: on `node:fs` in Node, and in an enclave on its plain mount and on its protected
 * one, there with a rollback journal too.
 */
export async function sqliteRow({ root, secret, cacheBytes, rounds }: SqliteOptions): Promise<Row> {
  await using enclave = await startEnclave(root, secret, cacheBytes);
  const inEnclave = (path: string, journal: boolean): Book => {
    return async (firstId) => {
      await enclave.launch('open', path, journal);
      return await enclave.launch('book', firstId, TRANSACTIONS);
    };
  };
  const sqlite = await Sqlite.load(new Uint8Array(readFileSync(WASM)));
  const ledger = await Ledger.open(sqlite, new NodeFiles(), join(root, 'node_fs/ledger.db'));
  const contenders = new Map<string, Book>([
    ['node_fs', (firstId) => bookInNode(ledger, firstId)],
    ['plain', inEnclave('/plain/ledger.db', true)],
    ['protected', inEnclave('/protected/ledger.db', false)],
    ['protected_with_journal', inEnclave('/protected/journalled.db', true)],
  ]);
  const samples = new Map(
    [...contenders].map(([name]) => [name, { wall: [] as number[], cores: [] as number[] }]),
  );
  for (let round = 0; round <= rounds; round++) {
    for (const [name, book] of contenders) {
      const taken = name === 'node_fs' ? undefined : enclave;
      const [began, before] = [performance.now(), processorOfBoth(taken)];
      const milliseconds = await book(1 + round * TRANSACTIONS);
      const used = processorOfBoth(taken) - before;
      if (round === 0) continue;
      samples.get(name)!.wall.push(milliseconds);
      samples.get(name)!.cores.push(used / ((performance.now() - began) * NANOSECONDS_A_MILLISECOND));
    }
  }
  await ledger.close();
  const figures = [...samples].flatMap(([name, { wall, cores }]) => [
    [`${name}_transactions_per_second`, rounded((TRANSACTIONS / median(wall)) * 1000)] as const,
    [`${name}_cores`, rounded(median(cores), 2)] as const,
  ]);
  return { what: 'sqlite', ...Object.fromEntries(figures) };
}

async function bookInNode(ledger: Ledger, firstId: number): Promise<number> {
  const started = performance.now();
  for (let id = firstId; id < firstId + TRANSACTIONS; id++) await ledger.book(transferOf(id));
  return performance.now() - started;
}

async function startEnclave(
  root: string,
  secret: Uint8Array<ArrayBuffer>,
  cacheBytes: number,
): Promise<Enclave<typeof program>> {
  const image = await buildImage(fileURLToPath(new URL('../../apps/sqlite/program.js', import.meta.url)), {
    name: 'bench-sqlite',
    privateMemoryBytes: cacheBytes + 1_048_576,
    grants: {
      files: [
        { mount: '/plain', access: 'read-write' },
        { mount: '/protected', access: 'read-write', protected: true, cacheBytes },
      ],
    },
  });
  return await Enclave.create<typeof program>(image, {
    directories: { '/plain': join(root, 'plain'), '/protected': join(root, 'protected') },
    fileSecret: secret,
  });
}
