import { readdirSync, readlinkSync } from 'node:fs';
import process from 'node:process';

/** How many sockets this process, and another, hold open. */
export function openSockets(pid: number): number {
  return count('self') + (pid === process.pid ? 0 : count(String(pid)));
}

function count(pid: string): number {
  const directory = `/proc/${pid}/fd`;
  return readdirSync(directory).filter((name) => {
    try {
      return readlinkSync(`${directory}/${name}`).startsWith('socket:');
    } catch {
      return false;
    }
  }).length;
}
