import { cpus, loadavg, release, totalmem } from 'node:os';
import process from 'node:process';

/** What figures were measured on. */
export interface MachineDescription {
  readonly processor: string;
  readonly cores: number;
  readonly memory_gib: number;
  readonly kernel: string;
  readonly node: string;
  /** The load average of the minute before: what else wanted the cores. */
  readonly load: number;
}

const BYTES_A_GIBIBYTE = 2 ** 30;

/** This machine, now. */
export function describeMachine(): MachineDescription {
  const processors = cpus();
  return {
    processor: processors[0]?.model.trim() || 'unknown processor',
    cores: processors.length,
    memory_gib: Math.round(totalmem() / BYTES_A_GIBIBYTE),
    kernel: release(),
    node: process.versions.node,
    load: Number(loadavg()[0]!.toFixed(2)),
  };
}

/** One line of it for people. */
export function machineLine({ processor, cores, memory_gib, kernel, node }: MachineDescription): string {
  return `${cores} × ${processor}, ${memory_gib} GiB, Linux ${kernel}, Node ${node}`;
}

/**
 * The lane of this machine: figures compare only within one. Two machines of the same processor, number of cores
 * and major version of Node share it.
 */
export function laneOf({ processor, cores, node }: MachineDescription): string {
  const words = `${cores}x ${processor} node ${node.split('.')[0]}`;
  return words
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');
}
