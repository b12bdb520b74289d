import type { CallKindName } from '../boundary/kinds.ts';
import { clock, nothing } from './clock.ts';
import type { Handler } from './executor.ts';
import { accept, addressOfSocket, connect, listen, receive, send, setOption, shutdown } from './net.ts';
import { createPoller, poll, watch } from './poller.ts';

/** Who serves which kind of call; the executor itself serves `cancel` and `close`, diagnostics `echo`. */
export const services: Readonly<Record<Exclude<CallKindName, 'cancel' | 'close' | 'echo'>, Handler>> = {
  nothing,
  clock,
  listen,
  accept,
  connect,
  receive,
  send,
  shutdown,
  setOption,
  address: addressOfSocket,
  createPoller,
  watch,
  poll,
};
