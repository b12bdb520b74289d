/** A locked-down process that tries what its first argument names and prints what became of it as JSON. */
import { execFileSync, spawn } from 'node:child_process';
import { createCipheriv, createHash, randomBytes, scrypt, webcrypto } from 'node:crypto';
import dgram from 'node:dgram';
import { lookup } from 'node:dns';
import fs from 'node:fs';
import inspector from 'node:inspector';
import net from 'node:net';
import process from 'node:process';
import { promisify } from 'node:util';
import { runInNewContext } from 'node:vm';
import { MessageChannel, Worker } from 'node:worker_threads';
import { gzip } from 'node:zlib';
import { leave, lockDown } from '../../src/enclave/lock-down.ts';
import { loadProgram } from '../../src/enclave/program.ts';
import { addressOf, declare, lastErrno } from '../../src/linux/ffi.ts';
import { createSecretMemory } from '../../src/linux/memory.ts';
import { runtimeDescriptors } from '../../src/linux/process.ts';

type Attempt = () => unknown;

/** The parts used here: the library of a browser, which declares it, is not this program's. */
declare const WebAssembly: {
  instantiate(bytes: Uint8Array): Promise<{ instance: { exports: { f(address: number): number } } }>;
  Memory: new (size: {
    initial: number;
    maximum: number;
    shared: boolean;
  }) => {
    buffer: SharedArrayBuffer;
    grow(pages: number): number;
  };
};

/** What system calls point to: it must not be collected. */
const texts: Uint8Array[] = [];
const syscall: (...values: number[]) => number = declare(
  'int64 syscall(int64, int64, int64, int64, int64, int64, int64)',
);
/** Numbers of x64. */
const SYSCALLS: Readonly<Record<string, number[]>> = {
  open: [2, addressOfText('/etc/passwd'), 0],
  openat: [257, -100, addressOfText('/etc/passwd'), 0],
  stat: [4, addressOfText('/etc/passwd'), addressOfText(' '.repeat(256))],
  readlink: [89, addressOfText('/proc/self/exe'), addressOfText(' '.repeat(256)), 256],
  getdents64: [217, 1, addressOfText(' '.repeat(256)), 256],
  socket: [41, 2, 1, 0],
  socketpair: [53, 1, 1, 0, addressOfText(' '.repeat(16))],
  connect: [42, 1, 0, 0],
  bind: [49, 1, 0, 0],
  sendto: [44, 1, addressOfText('x'), 1, 0, 0, 0],
  sendmsg: [46, 1, 0, 0],
  recvmsg: [47, 1, 0, 0],
  pipe2: [293, addressOfText(' '.repeat(16)), 0],
  eventfd2: [290, 0, 0],
  epoll_create1: [291, 0],
  memfd_create: [319, addressOfText('x'), 0],
  memfd_secret: [447, 0],
  dup: [32, 1],
  dup3: [292, 1, 50, 0],
  fcntl: [72, 1, 3, 0],
  ioctl: [16, 1, 0x5401, 0],
  fstat: [5, 1, addressOfText(' '.repeat(256))],
  sendfile: [40, 1, 1, 0, 1],
  splice: [275, 1, 0, 1, 0, 1, 0],
  pread64: [17, 1, addressOfText(' '), 1, 0],
  clone: [56, 17, 0, 0, 0, 0],
  clone3: [435, addressOfText(' '.repeat(88)), 88],
  fork: [57],
  vfork: [58],
  execve: [59, addressOfText('/bin/true'), 0, 0],
  execveat: [322, -100, addressOfText('/bin/true'), 0, 0, 0],
  ptrace: [101, 0, 0, 0, 0],
  kill: [62, process.pid, 0],
  'kill of the parent': [62, process.ppid, 0],
  tgkill: [234, process.pid, process.pid, 0],
  pidfd_open: [434, process.ppid, 0],
  process_vm_readv: [310, process.ppid, 0, 0, 0, 0, 0],
  process_vm_writev: [311, process.ppid, 0, 0, 0, 0, 0],
  io_uring_setup: [425, 1, addressOfText('\0'.repeat(128))],
  io_uring_enter: [426, 1, 0, 0, 0, 0],
  io_uring_register: [427, 1, 0, 0, 0],
  bpf: [321, 0, 0, 0],
  perf_event_open: [298, 0, 0, -1, -1, 0],
  userfaultfd: [323, 0],
  seccomp: [317, 1, 0, 0],
  'prctl, dumpable again': [157, 4, 1, 0, 0, 0],
  prlimit64: [302, 0, 4, 0, 0],
  rt_sigaction: [13, 10, 0, 0, 8],
  unshare: [272, 0],
  setns: [308, 1, 0],
  mount: [165, 0, 0, 0, 0, 0],
  chroot: [161, addressOfText('/tmp')],
  setuid: [105, 0],
  shmget: [29, 0, 4096, 0o1600],
  uname: [63, addressOfText(' '.repeat(400))],
  'mmap of a file': [9, 0, 4096, 1, 1, 1, 0],
  'mmap of executable memory': [9, 0, 4096, 7, 0x22, -1, 0],
  'mprotect with an unknown bit': [10, 0, 4096, 0x0100_0000],
  'read from a descriptor not kept': [0, 3, addressOfText(' '), 1],
  'write to a descriptor not kept': [1, 77, addressOfText('x'), 1],
  'writev to a descriptor not kept': [20, 77, 0, 0],
  'close of a descriptor not kept': [3, 77],
  'epoll_ctl on a descriptor not kept': [233, runtimeDescriptors()[0]!, 1, 77, 0],
  'the number of the x32 interface': [0x4000_0000 + 39],
};

const NODE: Readonly<Record<string, Attempt>> = {
  'fs.readFileSync': () => fs.readFileSync('/etc/passwd'),
  'fs.promises.readFile': () => fs.promises.readFile('/etc/passwd'),
  'fs.writeFileSync': () => fs.writeFileSync('/tmp/lock-down', ''),
  'net.connect': () => event(net.connect(9, '127.0.0.1'), 'connect'),
  'net.listen': () => event(net.createServer().listen(0, '127.0.0.1'), 'listening'),
  'dgram.bind': () => event(dgram.createSocket('udp4').bind(0), 'listening'),
  'dns.lookup': () => promisify(lookup)('example.com'),
  'child_process.spawn': () => event(spawn('/bin/true'), 'spawn'),
  'child_process.execFileSync': () => execFileSync('/bin/true'),
  'new Worker': () => event(new Worker('1', { eval: true }), 'online'),
  'process.kill': () => process.kill(process.ppid, 0),
  'import of a file': () => import('../support/users.ts'),
};

const WORKS: Readonly<Record<string, Attempt>> = {
  'garbage collection': () => {
    for (let round = 0; round < 20; round++) Array.from({ length: 50_000 }, (_, index) => ({ index, round }));
    return new Uint8Array(256 << 20).fill(1).at(-1);
  },
  'compilation of new functions': () => {
    let sum = 0;
    for (let step = 0; step < 500; step++) {
      const body = `let s = 0; for (let i = 0; i < 5000; i++) s = (s + i * a + ${step}) | 0; return s;`;
      const compiled = new Function('a', body) as (a: number) => number;
      for (let call = 0; call < 3; call++) sum = (sum + compiled(call)) | 0;
    }
    return sum;
  },
  'a new context': () => runInNewContext('6 * 7'),
  'WebAssembly: compile, trap and grow': async () => {
    const bytes = Buffer.from(
      '0061736d0100000001060160017f017f030201000503010001070501016600000a0901070020002802000b',
      'hex',
    );
    const { instance } = await WebAssembly.instantiate(bytes);
    const load = instance.exports.f;
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 2000, shared: true });
    memory.grow(1000);
    return [load(0), attempt(() => load(1_000_000)), memory.buffer.byteLength];
  },
  'AES-GCM': () => {
    const cipher = createCipheriv('aes-128-gcm', new Uint8Array(16), new Uint8Array(12));
    return Buffer.concat([cipher.update(new Uint8Array(1 << 20)), cipher.final()]).length;
  },
  'SHA-256': () => createHash('sha256').update('abc').digest('hex'),
  WebCrypto: async () => (await webcrypto.subtle.digest('SHA-256', new Uint8Array(64))).byteLength,
  'random bytes': async () => randomBytes(16).length + (await promisify(randomBytes)(16)).length,
  'scrypt on the thread pool': async () => ((await promisify(scrypt)('a', 'b', 32)) as Buffer).length,
  'zlib on the thread pool': async () => (await promisify(gzip)(new Uint8Array(1 << 20))).length > 0,
  'a timer': () => new Promise((resolve) => setTimeout(resolve, 5, 'fired')),
  'a wait with a time-out': () => Atomics.wait(new Int32Array(new SharedArrayBuffer(8)), 0, 0, 5),
  clocks: () => Date.now() > 0 && performance.now() > 0 && process.hrtime.bigint() > 0n,
  'a message port': () => {
    const { port1, port2 } = new MessageChannel();
    port1.postMessage('hello');
    return new Promise((resolve) => port2.once('message', resolve));
  },
  'a program and the modules that compute': () => {
    const names = 'assert async_hooks buffer crypto events path perf_hooks stream timers url util zlib'.split(
      ' ',
    );
    const code = names.map((name) => `require('node:${name}');`).join('');
    return loadProgram(`${code} exports.answer = 42;`, new Map())['answer'];
  },
  'standard error': () => process.stderr.write(''),
  'secret memory': () => new Uint8Array(secret.buffer).reduce((sum, byte) => sum + byte, 0),
};

const [scenario] = process.argv.slice(2);
const secret = createSecretMemory(4096);
new Uint8Array(secret.buffer).fill(7);
const heap = new Uint8Array(4096).fill(9);
lockDown({ keep: scenario === 'silent' ? [] : [1, 2] });

const scenarios: Readonly<Record<string, () => Promise<unknown> | unknown>> = {
  syscalls: () =>
    Object.fromEntries(Object.entries(SYSCALLS).map(([name, values]) => [name, errnoOf(values)])),
  node: () => attemptAll(NODE),
  works: () => attemptAll(WORKS),
  inspector: () => inspector.open(0),
  abort: () => process.abort(),
  exit: () => process.exit(5),
  throw: () => {
    throw new Error('thrown');
  },
  silent: () => {
    for (let line = 0; line < 10; line++) {
      console.log('to standard output');
      console.error('to standard error');
    }
    setTimeout(() => leave(9), 1);
    return new Promise(() => {});
  },
  end: () => {
    process.exitCode = 6;
  },
  idle: () => ({ secret: secret.address, heap: addressOf(heap) }),
};
const result = await scenarios[scenario!]!();
if (result !== undefined) console.log(JSON.stringify(result));
if (scenario === 'idle') setInterval(() => {}, 1000);
else if (scenario !== 'end') leave(7);

function errnoOf(values: readonly number[]): number {
  const padded = [...values, 0, 0, 0, 0, 0, 0].slice(0, 7);
  return syscall(...padded) === -1 ? lastErrno() : 0;
}

async function attemptAll(attempts: Readonly<Record<string, Attempt>>): Promise<Record<string, unknown>> {
  const results: Record<string, unknown> = {};
  for (const [name, action] of Object.entries(attempts)) {
    try {
      results[name] = await action();
    } catch (error) {
      results[name] = codeOf(error);
    }
  }
  return results;
}

function attempt(action: Attempt): unknown {
  try {
    return action();
  } catch (error) {
    return codeOf(error);
  }
}

function codeOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? message;
}

function event(emitter: NodeJS.EventEmitter, name: string): Promise<string> {
  return new Promise((resolve, reject) => emitter.on('error', reject).on(name, () => resolve('done')));
}

function addressOfText(text: string): number {
  const bytes = new Uint8Array(512);
  new TextEncoder().encodeInto(text, bytes);
  texts.push(bytes);
  return addressOf(bytes);
}
