import { constants } from 'node:os';
import { InvalidArgumentError, SystemError } from '../../errors.ts';
import { NAME_BYTES_MAX } from './format.ts';

const PATH_BYTES_MAX = 4095;

type Code = keyof typeof constants.errno;

const encoder = new TextEncoder();

/** The names that a path is made of, as bytes; `.` and repeated slashes are gone. */
export function namesOf(path: string, syscall: string): Uint8Array<ArrayBuffer>[] {
  if (typeof path !== 'string' || !path.isWellFormed() || path.includes('\0')) {
    throw new InvalidArgumentError('a path is well-formed text without a zero byte');
  }
  const names: Uint8Array<ArrayBuffer>[] = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..') {
      throw new InvalidArgumentError(`${JSON.stringify(path)} has '..' in it; write where it leads`);
    }
    const name = encoder.encode(part);
    if (name.length > NAME_BYTES_MAX) throw failure('ENAMETOOLONG', syscall, path);
    names.push(name);
  }
  if (encoder.encode(path).length > PATH_BYTES_MAX) throw failure('ENAMETOOLONG', syscall, path);
  return names;
}

/** What the operating system would answer. */
export function failure(code: Code, syscall: string, path: string): SystemError {
  return new SystemError(code, -constants.errno[code], syscall, path, path);
}
