import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import type * as echo from '../../apps/echo/program.ts';
import type { Strategy } from '../boundary/boot.ts';
import { Enclave } from '../host/enclave.ts';
import { buildImage } from '../image/build.ts';
import type { EchoReport, EchoWork } from './echo-client-main.ts';
import { processorMicroseconds } from './processor-time.ts';

/** A server of the echo measurements with a client of its own. */
export interface EchoServer {
  readonly name: string;
  /** Processor time of all that serves, so far: the server's process and, for an enclave, its host's. */
  processorMicroseconds(): number;
  run(work: EchoWork): Promise<EchoReport>;
  end(): Promise<void>;
}

interface Enclosed {
  readonly name: string;
  readonly strategy: Strategy;
  readonly form: 'serve' | 'serveTasks';
}

const NODE = 'node:net';

const enclosed: readonly Enclosed[] = [
  { name: 'exitless', strategy: 'exitless', form: 'serve' },
  { name: 'exitless, tasks', strategy: 'exitless', form: 'serveTasks' },
  { name: 'exit', strategy: 'exit', form: 'serve' },
  { name: 'direct', strategy: 'direct', form: 'serve' },
];

export const ECHO_SERVERS: readonly string[] = [...enclosed.map(({ name }) => name), NODE];

/** Starts those servers, each with a client that is not yet connected. */
export async function startEchoServers(names: readonly string[]): Promise<EchoServer[]> {
  const entry = fileURLToPath(new URL('../../apps/echo/program.js', import.meta.url));
  const image = await buildImage(entry, { name: 'echo', grants: { listen: ['tcp:127.0.0.1:0'] } });
  const servers: EchoServer[] = [];
  for (const { name, strategy, form } of enclosed) {
    if (!names.includes(name)) continue;
    const enclave = await Enclave.create<typeof echo>(image, { strategy });
    const port = await enclave.launch('open', '127.0.0.1', 0);
    const served = enclave.launch(form).catch(() => {});
    const processes = strategy === 'direct' ? [enclave.pid!] : [enclave.pid!, process.pid];
    servers.push(
      serverWith(name, port, processes, async () => {
        await enclave.stop();
        await served;
      }),
    );
  }
  if (names.includes(NODE)) servers.push(await startNode());
  return servers;
}

async function startNode(): Promise<EchoServer> {
  const child = forkModule('node-echo-main.js', []);
  const [port] = (await once(child, 'message')) as [number];
  return serverWith(NODE, port, [child.pid!], () => endProcess(child));
}

function serverWith(
  name: string,
  port: number,
  processes: readonly number[],
  endServer: () => Promise<void>,
): EchoServer {
  const client = forkModule('echo-client-main.js', [String(port)]);
  return {
    name,
    processorMicroseconds: () => processes.reduce((sum, pid) => sum + processorMicroseconds(pid), 0),
    run: (work) => ask(client, work),
    end: async () => {
      await endProcess(client);
      await endServer();
    },
  };
}

function ask(client: ChildProcess, work: EchoWork): Promise<EchoReport> {
  return new Promise((resolve, reject) => {
    const onExit = (): void => reject(new Error('the client of the measurement has died'));
    client.once('exit', onExit);
    client.once('message', (report) => {
      client.off('exit', onExit);
      resolve(report as EchoReport);
    });
    client.send(work);
  });
}

function forkModule(file: string, values: readonly string[]): ChildProcess {
  return fork(fileURLToPath(new URL(`./${file}`, import.meta.url)), values);
}

async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.disconnect();
  await ended;
}
