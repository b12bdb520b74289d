import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import {
  ACCESS_TIME,
  BIRTH_TIME,
  CHANGE_TIME,
  FILE_STATUS_BYTES,
  FileStatus,
  MODIFY_TIME,
} from '../../src/linux/file-status.ts';
import * as files from '../../src/linux/files.ts';
import { Structure } from '../../src/linux/structure.ts';
import { Vectors } from '../../src/linux/vectors.ts';

const { EAGAIN, EBADF, EINVAL, ENXIO, EOPNOTSUPP } = constants.errno;
const NANOSECONDS = 1_000_000_000n;

function temporaryFile(t: TestContext): { path: string; fd: number } {
  const directory = fs.mkdtempSync(join(tmpdir(), 'sgxio-files-'));
  const path = join(directory, 'file');
  const fd = fs.openSync(path, 'w+');
  t.after(() => {
    fs.closeSync(fd);
    fs.rmSync(directory, { recursive: true });
  });
  return { path, fd };
}

function bytesOf(text: string): Structure {
  const structure = new Structure(text.length);
  structure.bytes.set(Buffer.from(text, 'latin1'));
  return structure;
}

function textOf(structure: Structure, length: number): string {
  return Buffer.from(structure.bytes.buffer, 0, length).toString('latin1');
}

test('any sequence of reads, writes and cuts leaves the file that Node would leave', (t) => {
  const ours = temporaryFile(t);
  const nodes = temporaryFile(t);
  const source = new Structure(256);
  source.bytes.forEach((_, index) => {
    source.bytes[index] = index;
  });
  const target = new Structure(256);
  const offset = fc.nat(1000);
  const length = fc.nat(256);
  const step = fc.record({ kind: fc.constantFrom('write', 'read', 'append', 'cut'), offset, length });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      for (const { fd } of [ours, nodes]) fs.ftruncateSync(fd, 0);
      let end = files.seek(ours.fd, 0, files.SEEK_SET);
      for (const { kind, offset, length } of steps) {
        if (kind === 'write') {
          assert.equal(files.writeAt(ours.fd, source.address, length, offset), length);
          fs.writeSync(nodes.fd, source.bytes, 0, length, offset);
        } else if (kind === 'append') {
          assert.equal(files.write(ours.fd, source.address, length), length);
          fs.writeSync(nodes.fd, source.bytes, 0, length, end);
          end += length;
        } else if (kind === 'cut') {
          assert.equal(files.truncateFile(ours.fd, offset), 0);
          fs.ftruncateSync(nodes.fd, offset);
        } else {
          const expected = Buffer.alloc(256);
          const read = fs.readSync(nodes.fd, expected, 0, length, offset);
          assert.equal(files.readAt(ours.fd, target.address, length, offset), read);
          assert.deepEqual(target.bytes.slice(0, read), new Uint8Array(expected.subarray(0, read)));
        }
      }
      assert.equal(files.seek(ours.fd, 0, files.SEEK_CUR), end);
      assert.deepEqual(fs.readFileSync(ours.path), fs.readFileSync(nodes.path));
    }),
  );
  assert.equal(files.syncData(ours.fd), 0);
  assert.equal(files.syncFile(ours.fd), 0);
});

test('offsets beyond 32 bits are exact', (t) => {
  const { fd } = temporaryFile(t);
  const far = 2 ** 40 + 7;
  const byte = bytesOf('x');
  assert.equal(files.writeAt(fd, byte.address, 1, far), 1);
  assert.equal(fs.fstatSync(fd).size, far + 1);
  assert.equal(files.seek(fd, 0, files.SEEK_END), far + 1);
  assert.equal(files.seek(fd, far - 1, files.SEEK_SET), far - 1);
  assert.equal(files.read(fd, new Structure(8).address, 8), 2);
});

test('vectors gather and scatter at an offset', (t) => {
  const { path, fd } = temporaryFile(t);
  const [head, tail] = [bytesOf('head-'), bytesOf('tail')];
  const vectors = new Vectors(3);
  vectors.set(0, head.address, 5);
  vectors.set(1, tail.address, 4);
  vectors.count = 2;
  assert.equal(files.writeVectorsAt(fd, vectors, 3), 9);
  assert.equal(fs.readFileSync(path, 'latin1'), '\0\0\0head-tail');

  const [first, second] = [new Structure(2), new Structure(64)];
  vectors.set(0, first.address, 2);
  vectors.set(1, second.address, 64);
  assert.equal(files.readVectorsAt(fd, vectors, 2), 10);
  assert.equal(textOf(first, 2) + textOf(second, 8), '\0head-tail');
});

test('a cached read returns what is there, and never waits', (t) => {
  const { fd } = temporaryFile(t);
  fs.writeSync(fd, 'fresh in the cache');
  const room = new Structure(64);
  const result = files.readCached(fd, room.address, 64, 6);
  if (result === -EOPNOTSUPP) return t.skip('this file system does not support RWF_NOWAIT');
  assert.equal(result, 12);
  assert.equal(textOf(room, 12), 'in the cache');
  assert.equal(files.readCached(fd, room.address, 64, 18), 0);
});

test('an allocated range is there, a punched one is a hole', (t) => {
  const { fd } = temporaryFile(t);
  const kept = files.FALLOC_FL_KEEP_SIZE;
  assert.equal(files.allocateFile(fd, 0, 0, 65_536), 0);
  assert.equal(fs.fstatSync(fd).size, 65_536);
  assert.equal(files.allocateFile(fd, kept, 65_536, 65_536), 0);
  assert.equal(fs.fstatSync(fd).size, 65_536);
  fs.writeSync(fd, Buffer.alloc(65_536, 1), 0, 65_536, 0);
  assert.equal(files.allocateFile(fd, kept | files.FALLOC_FL_PUNCH_HOLE, 0, 32_768), 0);
  assert.equal(files.seek(fd, 0, files.SEEK_DATA), 32_768);
  assert.equal(files.seek(fd, 0, files.SEEK_HOLE), 0);
  assert.equal(files.seek(fd, 65_536, files.SEEK_DATA), -ENXIO);
});

test('the status is the one that Node sees', (t) => {
  const { path, fd } = temporaryFile(t);
  fs.writeSync(fd, Buffer.alloc(10_000));
  fs.linkSync(path, `${path}-too`);
  fs.chmodSync(path, 0o640);
  fs.utimesSync(path, -1.5, 1e9 + 0.25);
  const structure = new Structure(FILE_STATUS_BYTES);
  const device = fs.openSync('/dev/null', 'r');
  t.after(() => fs.closeSync(device));
  for (const descriptor of [fd, device]) {
    assert.equal(files.statDescriptor(descriptor, structure.address), 0);
    const status = new FileStatus(structure.bytes);
    const expected = fs.fstatSync(descriptor, { bigint: true });
    const timeOf = (time: number) =>
      BigInt(status.secondsOf(time)) * NANOSECONDS + BigInt(status.nanosecondsOf(time));
    assert.deepEqual(
      {
        mode: status.mode,
        nlink: status.links,
        uid: status.user,
        gid: status.group,
        ino: status.inode,
        size: status.size,
        blocks: status.blocks,
        blksize: status.blockBytes,
      },
      {
        mode: Number(expected.mode),
        nlink: Number(expected.nlink),
        uid: Number(expected.uid),
        gid: Number(expected.gid),
        ino: Number(expected.ino),
        size: Number(expected.size),
        blocks: Number(expected.blocks),
        blksize: Number(expected.blksize),
      },
    );
    const { deviceMajor: major, deviceMinor: minor } = status;
    assert.equal((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12), Number(expected.dev));
    assert.deepEqual([ACCESS_TIME, MODIFY_TIME, CHANGE_TIME, BIRTH_TIME].map(timeOf), [
      expected.atimeNs,
      expected.mtimeNs,
      expected.ctimeNs,
      expected.birthtimeNs,
    ]);
  }
  assert.equal(files.statDescriptor(-1, structure.address), -EBADF);
});

test('mode and times are set to the nanosecond, or left alone', (t) => {
  const { fd } = temporaryFile(t);
  assert.equal(files.changeDescriptorMode(fd, 0o751), 0);
  assert.equal(fs.fstatSync(fd).mode & 0o7777, 0o751);
  assert.equal(files.setDescriptorTimes(fd, -2, 999_999_999, 2 ** 33, 1), 0);
  const set = fs.fstatSync(fd, { bigint: true });
  assert.equal(set.atimeNs, -2n * NANOSECONDS + 999_999_999n);
  assert.equal(set.mtimeNs, 2n ** 33n * NANOSECONDS + 1n);
  assert.equal(files.setDescriptorTimes(fd, 0, files.UTIME_NOW, 0, files.UTIME_OMIT), 0);
  const again = fs.fstatSync(fd, { bigint: true });
  assert.ok(again.atimeNs > 1_600_000_000n * NANOSECONDS);
  assert.equal(again.mtimeNs, set.mtimeNs);
  assert.equal(files.setDescriptorTimes(fd, 0, 1_000_000_000, 0, 0), -EINVAL);
});

test('a lock of a file keeps other openings of it out', (t) => {
  const { path, fd } = temporaryFile(t);
  const other = fs.openSync(path, 'r+');
  t.after(() => fs.closeSync(other));
  assert.equal(files.lockFile(fd, files.LOCK_SH), 0);
  assert.equal(files.lockFile(other, files.LOCK_SH), 0);
  assert.equal(files.lockFile(fd, files.LOCK_EX), -EAGAIN);
  assert.equal(files.lockFile(other, files.LOCK_UN), 0);
  assert.equal(files.lockFile(fd, files.LOCK_EX), 0);
  assert.equal(files.lockFile(other, files.LOCK_SH), -EAGAIN);
});

test('a lock of a range keeps other openings out of it alone', (t) => {
  const { path, fd } = temporaryFile(t);
  const other = fs.openSync(path, 'r+');
  t.after(() => fs.closeSync(other));
  const far = 2 ** 40;
  assert.equal(files.lockRange(fd, files.F_WRLCK, far, 10), 0);
  assert.equal(files.lockRange(other, files.F_RDLCK, far + 9, 1), -EAGAIN);
  assert.equal(files.lockRange(other, files.F_WRLCK, far + 10, 0), 0);
  assert.equal(files.lockRange(fd, files.F_RDLCK, far, 20), -EAGAIN);
  assert.equal(files.lockRange(fd, files.F_RDLCK, far, 10), 0);
  assert.equal(files.lockRange(other, files.F_RDLCK, far + 9, 1), 0);
  assert.equal(files.lockRange(fd, files.F_UNLCK, 0, 0), 0);
  assert.equal(files.lockRange(other, files.F_WRLCK, far, 10), 0);
});

test('what is wrong comes back as -errno', () => {
  const room = new Structure(8);
  assert.equal(files.read(-1, room.address, 8), -EBADF);
  assert.equal(files.write(-1, room.address, 8), -EBADF);
  assert.equal(files.syncFile(-1), -EBADF);
  assert.equal(files.readAt(0, room.address, 8, -1), -EINVAL);
  assert.equal(files.readDirectory(-1, room.address, 8), -EBADF);
});
