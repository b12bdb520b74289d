/**
 * Loaded with `--import` before a program, makes one system call fail as it does on a kernel that lacks it:
 * REFUSE_CALL holds its number and the error, `447:38`.
 */
import process from 'node:process';
import { addressOf, check, declare } from '../../src/linux/ffi.ts';

const prctl: (option: number, a: number, b: number, c: number, d: number) => number = declare(
  'int prctl(int, ulong, ulong, ulong, ulong)',
);
const seccomp: (number: number, operation: number, flags: number, program: Uint8Array) => number = declare(
  'int64 syscall(int64, uint, uint, void *)',
);
const SECCOMP = process.arch === 'arm64' ? 277 : 317;
const PR_SET_NO_NEW_PRIVS = 38;

const [number, errno] = process.env['REFUSE_CALL']!.split(':').map(Number) as [number, number];
const filter = new DataView(new ArrayBuffer(128));
[
  [0x20, 0, 0, 0],
  [0x15, 0, 1, number],
  [0x06, 0, 0, 0x0005_0000 | errno],
  [0x06, 0, 0, 0x7fff_0000],
].forEach(([code, whenTrue, whenFalse, operand], index) => {
  filter.setUint16(index * 8, code!, true);
  filter.setUint8(index * 8 + 2, whenTrue!);
  filter.setUint8(index * 8 + 3, whenFalse!);
  filter.setUint32(index * 8 + 4, operand!, true);
});
const header = new DataView(new ArrayBuffer(16));
header.setUint16(0, 4, true);
header.setBigUint64(8, BigInt(addressOf(filter)), true);
check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 'prctl');
check(seccomp(SECCOMP, 1, 1, new Uint8Array(header.buffer)), 'seccomp');
