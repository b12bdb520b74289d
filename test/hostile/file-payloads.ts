import { constants } from 'node:fs';
import { FILE_STATUS_BYTES, MODIFY_TIME } from '../../src/linux/file-status.ts';

/** What the kernel answers about files, made up. */
export interface StatusFields {
  readonly mode?: number;
  readonly size?: bigint;
  readonly seconds?: bigint;
  readonly nanoseconds?: number;
}

/** A `struct statx` of a file (linux/stat.h). */
export function fileStatus(fields: StatusFields = {}): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(FILE_STATUS_BYTES));
  view.setUint16(28, fields.mode ?? constants.S_IFREG | 0o644, true);
  view.setBigInt64(40, fields.size ?? 5n, true);
  view.setBigInt64(MODIFY_TIME, fields.seconds ?? 1_700_000_000n, true);
  view.setUint32(MODIFY_TIME + 8, fields.nanoseconds ?? 0, true);
  return new Uint8Array(view.buffer);
}

/** A `struct linux_dirent64` (getdents64(2)) that claims to be `claimed` bytes long. */
export function directoryEntry(name: string, claimed?: number): Uint8Array<ArrayBuffer> {
  const bytes = new TextEncoder().encode(name);
  const length = Math.ceil((19 + bytes.length + 1) / 8) * 8;
  const view = new DataView(new ArrayBuffer(Math.max(length, 24)));
  view.setUint16(16, claimed ?? view.byteLength, true);
  view.setUint8(18, 8);
  const record = new Uint8Array(view.buffer);
  record.set(bytes, 19);
  return record;
}
