import { type DatagramSocket, type Endpoint, openDatagram } from '../../src/enclave.ts';

export { run, runTogether } from '../support/calls.program.ts';

/** What is refused at the call. */
export function misuse(port: number): Record<string, string> {
  const codes: Record<string, string> = {};
  const attempt = (name: string, call: () => unknown): void => {
    try {
      call();
      codes[name] = 'nothing thrown';
    } catch (error) {
      codes[name] = (error as { code: string }).code;
    }
  };
  const socket: DatagramSocket = openDatagram('IPv4');
  const shared = new Uint8Array(new SharedArrayBuffer(8)) as unknown as Uint8Array<ArrayBuffer>;
  const here = { host: '127.0.0.1', port };
  attempt('shared send', () => socket.sendTo(shared, here));
  attempt('shared receive', () => socket.receiveFrom(shared));
  attempt('too long', () => socket.sendTo(new Uint8Array(65_508), here));
  attempt('no family', () => openDatagram('IPv5' as 'IPv4'));
  attempt('no endpoint', () => socket.sendTo(new Uint8Array(1), {} as Endpoint));
  attempt('not granted', () => socket.sendTo(new Uint8Array(1), { host: '127.0.0.2', port }));
  attempt('not granted to connect', () => socket.connect({ host: '127.0.0.2', port }));
  attempt('nowhere', () => socket.send(new Uint8Array(1)));
  attempt('broadcast without the option', () =>
    socket.sendTo(new Uint8Array(1), { host: '255.255.255.255', port }),
  );
  return codes;
}
