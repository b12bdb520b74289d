import { constants } from 'node:fs';
import { nothing } from '../../src/host/clock.ts';
import { HostFile, readFile } from '../../src/host/files.ts';
import { receive } from '../../src/host/net.ts';
import type { Handlers, ServiceFactory } from '../../src/index.ts';
import { declare } from '../../src/linux/ffi.ts';

/** Node's own would warn when a descriptor is closed that it did not open. */
const open: (path: string, flags: number) => number = declare('int open(const char *, int)');

/** Room of this size makes a worker dawdle over the call. */
export const DAWDLING_ROOM = 77;
const MILLISECONDS = 20;

const word = new Int32Array(new SharedArrayBuffer(4));

function stall(): void {
  Atomics.wait(word, 0, 0, MILLISECONDS);
}

/**
 * Services that give a test time: a worker stalls at each ping and at each read or receive with
 * {@link DAWDLING_ROOM}, and every file is the pipe of that path, which a thread of the pool waits in for bytes.
 */
const createServices: ServiceFactory = (pipe): Handlers => ({
  nothing: (executor, request) => {
    stall();
    nothing(executor, request);
  },
  receive: (executor, request) => {
    if (request.length === DAWDLING_ROOM) stall();
    receive(executor, request);
  },
  openFile: (executor, request) => {
    executor.complete(request.id, executor.open(new HostFile(open(pipe as string, constants.O_RDWR))));
  },
  readFile: (executor, request) => {
    if (request.length === DAWDLING_ROOM) stall();
    readFile(executor, request);
  },
});

export default createServices;
