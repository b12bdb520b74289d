import { CompletionQueue, listen, Operation, ping, takePrivateMemory, wallTime } from '../../src/enclave.ts';

const region = takePrivateMemory(4096);

export function main(): string {
  return 'served';
}

/** Puts a secret in private memory and says where, for a test that tries to read it from outside. */
export function hide(secret: string): number {
  region.bytes.set(new TextEncoder().encode(secret));
  return region.address;
}

/** Waits in a call that nobody answers. */
export function waitForEver(): void {
  listen({ host: '127.0.0.1', port: 0 }).accept();
}

export async function waitForEverAsync(): Promise<void> {
  await listen({ host: '127.0.0.1', port: 0 }).acceptAsync();
}

export function listenAt(port: number): void {
  listen({ host: '127.0.0.1', port });
}

export function compute(): void {
  wallTime();
  for (;;);
}

/** Makes call after call until a connection came in beside them; false when none did within `limit` calls. */
export function acceptBeside(port: number, limit: number): boolean {
  const operation = new Operation(new CompletionQueue());
  operation.accept(listen({ host: '127.0.0.1', port }));
  for (let calls = 0; calls < limit; calls++) {
    ping();
    if (operation.result > 0) return true;
  }
  return false;
}

export function countPings(count: number): number {
  for (let index = 0; index < count; index++) ping();
  return count;
}
