import { spawnSync } from 'node:child_process';
import process from 'node:process';

/** A user to run a test as: pass it on to `spawn`. */
export interface User {
  readonly name: string;
  readonly uid?: number;
  readonly gid?: number;
}

const ORDINARY: User = { name: 'an ordinary user', uid: 65_534, gid: 65_534 };

/**
 * Whom tests run as: root and an ordinary user when this is root, otherwise just this user. The ordinary user is
 * left out, with a line that says so, where it cannot read this project or run this node.
 */
export function users(): readonly User[] {
  if (process.getuid?.() !== 0) return [{ name: 'this user' }];
  const root: User = { name: 'root' };
  if (canRun(ORDINARY)) return [root, ORDINARY];
  console.error(
    `Not tested as an ordinary user: uid ${ORDINARY.uid} cannot read ${import.meta.dirname} or run node.`,
  );
  return [root];
}

function canRun(user: User): boolean {
  const readable = `require('node:fs').accessSync(${JSON.stringify(import.meta.filename)})`;
  return spawnSync(process.execPath, ['-e', readable], { ...user, cwd: '/', stdio: 'ignore' }).status === 0;
}
