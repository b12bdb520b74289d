import type { CallKindName } from '../boundary/kinds.ts';
import { clock, nothing } from './clock.ts';
import * as datagram from './datagram.ts';
import type { Handler } from './executor.ts';
import * as files from './files.ts';
import { lookup } from './names.ts';
import { accept, addressOfSocket, connect, listen, receive, send, setOption, shutdown } from './net.ts';
import { createPoller, poll, watch } from './poller.ts';
import { openStream, readStream, writeStream } from './streams.ts';

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
  openFile: files.openFile,
  readFile: files.readFile,
  writeFile: files.writeFile,
  syncFile: files.syncFile,
  truncateFile: files.truncateFile,
  statFile: files.statFile,
  statPath: files.statPath,
  readDirectory: files.readDirectory,
  makeDirectory: files.makeDirectory,
  removeDirectory: files.removeDirectory,
  unlink: files.unlink,
  rename: files.rename,
  link: files.link,
  symbolicLink: files.symbolicLink,
  readLink: files.readLink,
  changeMode: files.changeMode,
  changeFileMode: files.changeFileMode,
  setTimes: files.setTimes,
  setFileTimes: files.setFileTimes,
  lockFile: files.lockFile,
  openDatagram: datagram.openDatagram,
  connectDatagram: datagram.connectDatagram,
  receiveFrom: datagram.receiveFrom,
  sendTo: datagram.sendTo,
  lookup,
  openStream,
  readStream,
  writeStream,
};
