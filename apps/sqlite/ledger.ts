import type { Database, Sqlite } from './database.ts';
import type { FileSystem } from './file-system.ts';

/** One payment: it counts as a whole or not at all. */
export interface Transfer {
  readonly id: number;
  readonly payer: number;
  readonly payee: number;
  readonly amount: number;
  readonly memo: string;
}

/** What a ledger says of itself. */
export interface Audit {
  /** What `PRAGMA integrity_check` answers: `ok`, or what is wrong. */
  readonly integrity: string;
  readonly transfers: number;
  /** Of the newest transfer; 0 before the first. */
  readonly lastId: number;
  /** Of all accounts together. */
  readonly balance: number;
  /** How many accounts have another balance than their transfers come to. */
  readonly wrongAccounts: number;
}

export const ACCOUNTS = 100;
export const FIRST_BALANCE = 1000;

/** A transfer is one statement: what follows from it is the ledger's own rule. */
const SCHEMA = `
  CREATE TABLE account (
    id INTEGER PRIMARY KEY,
    owner TEXT NOT NULL,
    balance INTEGER NOT NULL CHECK (balance >= 0)
  ) STRICT;
  CREATE TABLE transfer (
    id INTEGER PRIMARY KEY,
    payer INTEGER NOT NULL REFERENCES account,
    payee INTEGER NOT NULL REFERENCES account,
    amount INTEGER NOT NULL CHECK (amount > 0),
    memo TEXT NOT NULL
  ) STRICT;
  CREATE INDEX transfer_by_memo ON transfer (memo);
  CREATE TRIGGER pay AFTER INSERT ON transfer BEGIN
    UPDATE account SET balance = balance - new.amount WHERE id = new.payer;
    UPDATE account SET balance = balance + new.amount WHERE id = new.payee;
  END;
`;
const OPENING = `
  WITH RECURSIVE number (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM number WHERE id < ${ACCOUNTS})
  INSERT INTO account SELECT id, 'owner ' || id, ${FIRST_BALANCE} FROM number;
`;
const AUDIT = `
  SELECT
    (SELECT count(*) FROM transfer),
    (SELECT coalesce(max(id), 0) FROM transfer),
    (SELECT sum(balance) FROM account),
    (SELECT count(*) FROM account WHERE balance <> ${FIRST_BALANCE}
      + (SELECT coalesce(sum(amount), 0) FROM transfer WHERE payee = account.id)
      - (SELECT coalesce(sum(amount), 0) FROM transfer WHERE payer = account.id))
`;

/** Accounts and what was paid between them, in a database. The sum of all balances never changes. */
export class Ledger {
  readonly #database: Database;

  private constructor(database: Database) {
    this.#database = database;
  }

  /** Opens a ledger, or makes one. */
  static async open(sqlite: Sqlite, files: FileSystem, path: string): Promise<Ledger> {
    const database = await sqlite.open(files, path);
    const [[tables]] = (await database.run('SELECT count(*) FROM sqlite_schema')) as [[number]];
    if (tables === 0) await database.execute(`BEGIN; ${SCHEMA} ${OPENING} COMMIT;`);
    return new Ledger(database);
  }

  /** Books a transfer: when this returns it outlives any crash. */
  async book({ id, payer, payee, amount, memo }: Transfer): Promise<void> {
    await this.#database.run('INSERT INTO transfer VALUES (?, ?, ?, ?, ?)', id, payer, payee, amount, memo);
  }

  async audit(): Promise<Audit> {
    const checked = await this.#database.run('PRAGMA integrity_check');
    const [[transfers, lastId, balance, wrongAccounts]] = (await this.#database.run(AUDIT)) as [
      [number, number, number, number],
    ];
    return { integrity: checked.flat().join('; '), transfers, lastId, balance, wrongAccounts };
  }

  async close(): Promise<void> {
    await this.#database.close();
  }
}

/** The transfers of an imagined day, the same in every run. */
export function transferOf(id: number): Transfer {
  const payer = 1 + ((id * 7) % ACCOUNTS);
  const payee = 1 + ((payer - 1 + 1 + ((id * 13) % (ACCOUNTS - 1))) % ACCOUNTS);
  return { id, payer, payee, amount: 1 + (id % 3), memo: `rent of month ${id}` };
}
