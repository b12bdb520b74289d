import * as sqlite from '@journeyapps/wa-sqlite';
import createModule from '@journeyapps/wa-sqlite/dist/wa-sqlite.mjs';
import type { FileSystem } from './file-system.ts';
import { FileSystemVfs, type SqliteModule } from './vfs.ts';

export type Value = number | string | null;

/**
 * Nobody else opens the database, so it is locked once and for all. A transaction counts when a sync has made it
 * durable. Temporary tables stay in memory.
 */
const SETTINGS = `
  PRAGMA locking_mode = EXCLUSIVE;
  PRAGMA synchronous = EXTRA;
  PRAGMA temp_store = MEMORY;
  PRAGMA foreign_keys = ON;
`;
/** Cut to nothing at the end of a transaction, which is synced: a journal that came back would undo what counts. */
const JOURNAL = 'PRAGMA journal_mode = TRUNCATE';
/** For who rolls back. A crash undoes by itself what was not synced: no half of a transaction is ever there to repair. */
const JOURNAL_IN_MEMORY = 'PRAGMA journal_mode = MEMORY';

/** SQLite, loaded: it has no files but those that it is given. */
export class Sqlite {
  readonly #module: SqliteModule;
  readonly #api: SQLiteAPI;
  readonly #systems = new Map<FileSystem, FileSystemVfs>();

  private constructor(module: SqliteModule) {
    this.#module = module;
    this.#api = sqlite.Factory(module);
  }

  /** @param wasm as the package ships it */
  static async load(wasm: Uint8Array<ArrayBuffer>): Promise<Sqlite> {
    return new Sqlite(await createModule({ wasmBinary: wasm }));
  }

  /** Opens a database, or makes it. */
  async open(files: FileSystem, path: string): Promise<Database> {
    const vfs = this.#systems.get(files) ?? this.#register(files);
    const handle = await failingAs(vfs, () => this.#api.open_v2(path, undefined, vfs.name));
    const database = new Database(this.#api, vfs, handle);
    await database.execute(SETTINGS);
    await database.execute(vfs.afterCrash(path) === 'none, undisturbed' ? JOURNAL_IN_MEMORY : JOURNAL);
    return database;
  }

  #register(files: FileSystem): FileSystemVfs {
    const vfs = new FileSystemVfs(`files ${this.#systems.size}`, this.#module, files);
    this.#api.vfs_register(vfs);
    this.#systems.set(files, vfs);
    return vfs;
  }
}

/**
 * A database in a file system. One call at a time: the next begins when the one before has ended.
 *
 * What the file system throws in a call, the call throws; other failures are SQLite's own.
 */
export class Database {
  readonly #api: SQLiteAPI;
  readonly #vfs: FileSystemVfs;
  readonly #handle: number;
  /** By their text. */
  readonly #statements = new Map<string, number>();

  constructor(api: SQLiteAPI, vfs: FileSystemVfs, handle: number) {
    this.#api = api;
    this.#vfs = vfs;
    this.#handle = handle;
  }

  /** Runs statements without values. */
  async execute(sql: string): Promise<void> {
    await failingAs(this.#vfs, () => this.#api.exec(this.#handle, sql));
  }

  /** Runs one statement, which is kept for the next time, and says its rows. */
  async run(sql: string, ...values: Value[]): Promise<Value[][]> {
    return await failingAs(this.#vfs, async () => {
      const statement = this.#statements.get(sql) ?? (await this.#prepare(sql));
      try {
        this.#api.bind_collection(statement, values);
        const rows: Value[][] = [];
        while ((await this.#api.step(statement)) === sqlite.SQLITE_ROW) {
          rows.push(this.#api.row(statement) as Value[]);
        }
        return rows;
      } finally {
        // It tells once more of the failure of the step.
        await this.#api.reset(statement).catch(() => {});
      }
    });
  }

  async close(): Promise<void> {
    for (const statement of this.#statements.values()) await this.#api.finalize(statement);
    this.#statements.clear();
    await failingAs(this.#vfs, () => this.#api.close(this.#handle));
  }

  async #prepare(sql: string): Promise<number> {
    for await (const statement of this.#api.statements(this.#handle, sql, { unscoped: true })) {
      this.#statements.set(sql, statement);
      return statement;
    }
    throw new sqlite.SQLiteError(`there is no statement in ${JSON.stringify(sql)}`, sqlite.SQLITE_MISUSE);
  }
}

/** SQLite knows only that there was a failure: what the file system threw says which. */
async function failingAs<Result>(vfs: FileSystemVfs, action: () => Promise<Result>): Promise<Result> {
  vfs.takeFailure();
  try {
    return await action();
  } catch (error) {
    throw vfs.takeFailure() ?? error;
  }
}
