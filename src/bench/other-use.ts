import { readdir, readFile } from 'node:fs/promises';

const MILLISECONDS_A_TICK = 10;
/** The parent of all threads of the kernel. */
const KERNEL_PARENT = 2;

/** What has run on this machine so far, in milliseconds of one core. */
interface Use {
  readonly at: number;
  readonly machine: number;
  readonly own: number;
  readonly kernel: number;
}

/**
 * Tells how much of this machine others took while something ran here. Others are all processes but this one and
 * those that it started and that have ended, and whoever shares the machine below a virtual one (`steal`). The
 * kernel's own threads are left out, and its interrupts: they serve whoever reads and sends, which is this run.
 */
export class OtherUse {
  readonly #start: Use;

  private constructor(start: Use) {
    this.#start = start;
  }

  static async begin(): Promise<OtherUse> {
    return new OtherUse(await readUse());
  }

  /** Cores that others took since then, on average. */
  async cores(): Promise<number> {
    const now = await readUse();
    const before = this.#start;
    const others = now.machine - before.machine - (now.own - before.own) - (now.kernel - before.kernel);
    return Math.max(0, others / (now.at - before.at));
  }
}

async function readUse(): Promise<Use> {
  const [machine, own, kernel] = await Promise.all([
    readFile('/proc/stat', 'utf8'),
    readFile('/proc/self/stat', 'utf8'),
    readKernelThreads(),
  ]);
  const [, user, nice, system, , , , , steal] = machine
    .slice(0, machine.indexOf('\n'))
    .split(/ +/)
    .map(Number);
  const [userOwn, systemOwn, userEnded, systemEnded] = fieldsOf(own).slice(11, 15).map(Number);
  return {
    at: performance.now(),
    machine: (user! + nice! + system! + steal!) * MILLISECONDS_A_TICK,
    own: (userOwn! + systemOwn! + userEnded! + systemEnded!) * MILLISECONDS_A_TICK,
    kernel: kernel * MILLISECONDS_A_TICK,
  };
}

/** Ticks of all threads of the kernel that can be seen from here. */
async function readKernelThreads(): Promise<number> {
  const processes = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  // A process may end between the two readings.
  const texts = await Promise.all(
    processes.map((pid) => readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)),
  );
  return texts.reduce((sum, text) => {
    if (text === undefined) return sum;
    const fields = fieldsOf(text);
    return Number(fields[1]) === KERNEL_PARENT ? sum + Number(fields[12]) : sum;
  }, 0);
}

/** The name of a process stands in parentheses and may hold anything, so fields count from the last one. */
function fieldsOf(text: string): string[] {
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}
