import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { type TestContext, test } from 'node:test';
import { closeDescriptor } from '../../src/linux/events.ts';
import { FILE_STATUS_BYTES, FileStatus } from '../../src/linux/file-status.ts';
import { UTIME_OMIT } from '../../src/linux/files.ts';
import * as paths from '../../src/linux/paths.ts';
import { Structure } from '../../src/linux/structure.ts';

const {
  EBADF,
  EEXIST,
  EINVAL,
  EISDIR,
  ELOOP,
  ENAMETOOLONG,
  ENOENT,
  ENOTDIR,
  ENOTEMPTY,
  ENXIO,
  EOPNOTSUPP,
  EXDEV,
} = constants.errno;
const { O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_WRONLY } = fs.constants;

/**
 * outside/secret                    what no path may reach
 * inside/file, inside/deep/er/file
 * inside/<each of ESCAPES>          links that lead out
 * inside/within -> deep, inside/deep/back -> ../file
 */
interface Tree {
  readonly outside: string;
  readonly inside: string;
  readonly directory: number;
}

const ESCAPES = ['to-absolute', 'to-parent', 'to-parent-of-deep', 'to-secret', 'to-root'];

function tree(t: TestContext): Tree {
  const top = fs.mkdtempSync(join(tmpdir(), 'sgxio-paths-'));
  const [outside, inside] = [join(top, 'outside'), join(top, 'inside')];
  fs.mkdirSync(outside);
  fs.writeFileSync(join(outside, 'secret'), 'secret');
  fs.mkdirSync(join(inside, 'deep/er'), { recursive: true });
  fs.writeFileSync(join(inside, 'file'), 'file');
  fs.writeFileSync(join(inside, 'deep/er/file'), 'deeper');
  fs.symlinkSync(outside, join(inside, 'to-absolute'));
  fs.symlinkSync('../outside', join(inside, 'to-parent'));
  fs.symlinkSync('deep/../../outside', join(inside, 'to-parent-of-deep'));
  fs.symlinkSync('../outside/secret', join(inside, 'to-secret'));
  fs.symlinkSync('/', join(inside, 'to-root'));
  fs.symlinkSync('deep', join(inside, 'within'));
  fs.symlinkSync('../file', join(inside, 'deep/back'));
  const directory = fs.openSync(inside, O_RDONLY);
  t.after(() => {
    fs.closeSync(directory);
    fs.rmSync(top, { recursive: true });
  });
  return { outside, inside, directory };
}

/** Everything in the tree, no link followed, with what an operation could change about it. */
function snapshot(path: string): string[] {
  return fs.readdirSync(path, { withFileTypes: true }).flatMap((entry) => {
    const child = join(path, entry.name);
    const { mode, ino, nlink, mtimeNs } = fs.lstatSync(child, { bigint: true });
    const content = entry.isFile() ? fs.readFileSync(child, 'latin1') : '';
    const line = `${child} ${mode.toString(8)} ${ino} ${nlink} ${mtimeNs} ${content}`;
    return [line, ...(entry.isDirectory() ? snapshot(child) : [])];
  });
}

function contentOf(fd: number): string {
  assert.ok(fd >= 0, `a descriptor, not ${fd}`);
  try {
    return fs.readFileSync(fd, 'latin1');
  } finally {
    closeDescriptor(fd);
  }
}

/** Every operation on a path, with arguments that would succeed on a suitable one. */
function everyOperation({ directory }: Tree): Record<string, (path: string) => number> {
  const room = new Structure(FILE_STATUS_BYTES);
  return {
    read: (path) => paths.openBeneath(directory, path, O_RDONLY, 0),
    create: (path) => paths.openBeneath(directory, path, O_WRONLY | O_CREAT, 0o600),
    stat: (path) => paths.statBeneath(directory, path, true, room.address),
    statOfLink: (path) => paths.statBeneath(directory, path, false, room.address),
    makeDirectory: (path) => paths.makeDirectory(directory, path, 0o700),
    unlinkFile: (path) => paths.unlinkFile(directory, path),
    removeDirectory: (path) => paths.removeDirectory(directory, path),
    renameFrom: (path) => paths.rename(directory, path, directory, 'renamed', 0),
    renameTo: (path) => paths.rename(directory, 'file', directory, path, 0),
    linkFrom: (path) => paths.link(directory, path, directory, 'linked'),
    linkTo: (path) => paths.link(directory, 'file', directory, path),
    symbolicLink: (path) => paths.symbolicLink('file', directory, path),
    readLink: (path) => paths.readLink(directory, path, room.address, FILE_STATUS_BYTES),
    changeMode: (path) => paths.changeMode(directory, path, 0o600),
    setTimes: (path) => paths.setTimes(directory, path, 1, 0, 1, 0),
  };
}

test('no operation leaves the directory, by any way', (t) => {
  const place = tree(t);
  const before = [snapshot(place.outside), snapshot(place.inside)];
  const ways = ['/etc/hostname', '../outside/secret', 'deep/../../outside/secret', '../new', '/new'];
  for (const link of ESCAPES) ways.push(`${link}/secret`, `${link}/new`, `within/../${link}/secret`);
  for (const [name, operate] of Object.entries(everyOperation(place))) {
    for (const way of ways) {
      assert.equal(operate(way), -EXDEV, `${name} ${way}`);
    }
  }
  assert.deepEqual([snapshot(place.outside), snapshot(place.inside)], before);
});

test('a link out of the directory is never followed as the last name', (t) => {
  const place = tree(t);
  const { directory, inside } = place;
  const outside = snapshot(place.outside);
  const room = new Structure(FILE_STATUS_BYTES);
  for (const link of ESCAPES) {
    assert.equal(paths.openBeneath(directory, link, O_RDONLY, 0), -EXDEV);
    assert.equal(paths.openBeneath(directory, link, O_WRONLY | O_CREAT, 0o600), -EXDEV);
    assert.equal(paths.statBeneath(directory, link, true, room.address), -EXDEV);
    assert.equal(paths.makeDirectory(directory, link, 0o700), -EEXIST);
    assert.equal(paths.changeMode(directory, link, 0o600), -EOPNOTSUPP);
    assert.equal(paths.setTimes(directory, link, 1, 0, 2, 5), 0);
    assert.equal(fs.lstatSync(join(inside, link), { bigint: true }).mtimeNs, 2_000_000_005n);
    assert.equal(paths.link(directory, link, directory, `${link}-2`), 0);
    assert.equal(paths.rename(directory, `${link}-2`, directory, `${link}-3`, 0), 0);
    assert.equal(fs.readlinkSync(join(inside, `${link}-3`)), fs.readlinkSync(join(inside, link)));
    assert.equal(paths.removeDirectory(directory, link), -ENOTDIR);
    assert.equal(paths.unlinkFile(directory, link), 0);
    assert.equal(paths.unlinkFile(directory, `${link}-3`), 0);
  }
  assert.deepEqual(snapshot(place.outside), outside);
});

test('a magic link of /proc is not followed', () => {
  const directory = fs.openSync('/proc', O_RDONLY);
  try {
    for (const path of ['self/root/etc', 'self/cwd', 'self/fd/0', 'self/exe']) {
      assert.equal(paths.openBeneath(directory, path, O_RDONLY, 0), -ELOOP, path);
    }
    assert.match(contentOf(paths.openBeneath(directory, 'self/comm', O_RDONLY, 0)), /\n$/);
  } finally {
    fs.closeSync(directory);
  }
});

test('links and dots that stay within are followed', (t) => {
  const { directory } = tree(t);
  const ways = {
    file: 'file',
    'deep/back': 'file',
    'within/er/file': 'deeper',
    'deep/er/../../file': 'file',
  };
  for (const [way, content] of Object.entries(ways)) {
    assert.equal(contentOf(paths.openBeneath(directory, way, O_RDONLY, 0)), content);
  }
  assert.equal(paths.makeDirectory(directory, 'within/er/../new', 0o700), 0);
  assert.equal(paths.removeDirectory(directory, 'deep/new'), 0);
});

test('opening creates with the mode that was asked for, once', (t) => {
  const { directory, inside } = tree(t);
  const fd = paths.openBeneath(directory, 'deep/new', O_RDWR | O_CREAT | O_EXCL, 0o640);
  fs.writeSync(fd, 'new');
  closeDescriptor(fd);
  assert.equal(fs.readFileSync(join(inside, 'deep/new'), 'latin1'), 'new');
  assert.equal(fs.statSync(join(inside, 'deep/new')).mode & 0o777, 0o640 & ~process.umask());
  assert.equal(paths.openBeneath(directory, 'deep/new', O_RDWR | O_CREAT | O_EXCL, 0o640), -EEXIST);
  assert.equal(paths.openBeneath(directory, 'none', O_RDONLY, 0o666), -ENOENT);
  assert.equal(paths.openBeneath(directory, 'deep', O_RDWR, 0), -EISDIR);
});

test('a descriptor closes on exec', (t) => {
  const { directory } = tree(t);
  const fd = paths.openBeneath(directory, 'file', O_RDONLY, 0);
  const flags = /flags:\s+([0-7]+)/.exec(fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))![1]!;
  closeDescriptor(fd);
  assert.equal(Number.parseInt(flags, 8) & 0x8_0000, 0x8_0000);
});

test('a pipe with nobody at its other end does not block the opening', (t) => {
  const { directory, inside } = tree(t);
  execFileSync('mkfifo', [join(inside, 'fifo')]);
  assert.equal(paths.openBeneath(directory, 'fifo', O_WRONLY, 0), -ENXIO);
  assert.equal(contentOf(paths.openBeneath(directory, 'fifo', O_RDONLY, 0)), '');
});

test('the status is of the link or of where it leads', (t) => {
  const { directory, inside } = tree(t);
  const room = new Structure(FILE_STATUS_BYTES);
  const status = new FileStatus(room.bytes);
  assert.equal(paths.statBeneath(directory, 'deep/back', true, room.address), 0);
  assert.equal(status.inode, fs.statSync(join(inside, 'file')).ino);
  assert.equal(paths.statBeneath(directory, 'deep/back', false, room.address), 0);
  assert.equal(status.inode, fs.lstatSync(join(inside, 'deep/back')).ino);
  assert.equal(paths.statBeneath(directory, '.', false, room.address), 0);
  assert.equal(status.inode, fs.statSync(inside).ino);
});

test('entries are made, renamed, exchanged and removed', (t) => {
  const { directory, inside } = tree(t);
  assert.equal(paths.makeDirectory(directory, 'deep/new', 0o750), 0);
  assert.equal(fs.statSync(join(inside, 'deep/new')).mode & 0o777, 0o750 & ~process.umask());
  assert.equal(paths.rename(directory, 'file', directory, 'deep/new/moved', paths.RENAME_NOREPLACE), 0);
  assert.equal(fs.readFileSync(join(inside, 'deep/new/moved'), 'latin1'), 'file');
  const moved = 'deep/new/moved';
  assert.equal(paths.rename(directory, 'deep/er/file', directory, moved, paths.RENAME_NOREPLACE), -EEXIST);
  assert.equal(paths.rename(directory, 'deep/er/file', directory, moved, paths.RENAME_EXCHANGE), 0);
  assert.equal(fs.readFileSync(join(inside, moved), 'latin1'), 'deeper');
  assert.equal(fs.readFileSync(join(inside, 'deep/er/file'), 'latin1'), 'file');
  assert.equal(paths.removeDirectory(directory, 'deep/new'), -ENOTEMPTY);
  assert.equal(paths.unlinkFile(directory, 'deep/new'), -EISDIR);
  assert.equal(paths.unlinkFile(directory, moved), 0);
  assert.equal(paths.removeDirectory(directory, 'deep/new'), 0);
  assert.equal(fs.existsSync(join(inside, 'deep/new')), false);
});

test('links are made and read', (t) => {
  const { directory, inside } = tree(t);
  assert.equal(paths.link(directory, 'file', directory, 'deep/second'), 0);
  assert.equal(fs.statSync(join(inside, 'file')).nlink, 2);
  assert.equal(paths.symbolicLink('../any text', directory, 'deep/link'), 0);
  assert.equal(fs.readlinkSync(join(inside, 'deep/link')), '../any text');
  const room = new Structure(64);
  assert.equal(paths.readLink(directory, 'deep/link', room.address, 64), 11);
  assert.equal(Buffer.from(room.bytes.subarray(0, 11)).toString(), '../any text');
  assert.equal(paths.readLink(directory, 'deep/link', room.address, 3), 3);
  assert.equal(paths.readLink(directory, 'file', room.address, 64), -EINVAL);
});

test('mode and times are those of the entry', (t) => {
  const { directory, inside } = tree(t);
  assert.equal(paths.changeMode(directory, 'deep/er/file', 0o4751), 0);
  assert.equal(fs.statSync(join(inside, 'deep/er/file')).mode & 0o7777, 0o4751);
  assert.equal(paths.setTimes(directory, 'deep/er/file', 3, 4, 0, UTIME_OMIT), 0);
  const status = fs.statSync(join(inside, 'deep/er/file'), { bigint: true });
  assert.equal(status.atimeNs, 3_000_000_004n);
  assert.ok(status.mtimeNs > 4_000_000_000n);
});

test('a path that is none is refused, by every operation', (t) => {
  const place = tree(t);
  const before = snapshot(place.inside);
  const operations = everyOperation(place);
  const long = `${'a'.repeat(255)}/`.repeat(17);
  for (const [name, operate] of Object.entries(operations)) {
    assert.equal(operate(''), -ENOENT, name);
    assert.equal(operate('file\0../outside'), -EINVAL, name);
    assert.equal(operate('a\0b/file'), -EINVAL, name);
    assert.equal(operate('none/file'), -ENOENT, name);
    assert.equal(operate('file/file'), -ENOTDIR, name);
    assert.equal(operate(`${long}file`), -ENAMETOOLONG, name);
  }
  for (const path of ['.', '..', 'deep/.', 'deep/..', 'deep/', 'new/']) {
    for (const [name, operate] of Object.entries(operations).slice(4)) {
      assert.equal(operate(path), -EINVAL, `${name} ${path}`);
    }
  }
  assert.equal(paths.symbolicLink('a\0b', place.directory, 'new'), -EINVAL);
  assert.deepEqual(snapshot(place.inside), before);
});

test('a directory that is none is refused, the current one too', (t) => {
  const place = tree(t);
  const AT_FDCWD = -100;
  for (const directory of [-1, AT_FDCWD]) {
    for (const [name, operate] of Object.entries(everyOperation({ ...place, directory }))) {
      assert.equal(operate('file'), -EBADF, name);
      assert.equal(operate('deep/file'), -EBADF, name);
    }
  }
});

test('no operation leaves a descriptor behind', (t) => {
  const place = tree(t);
  const open = () => fs.readdirSync('/proc/self/fd').length;
  const operations = Object.entries(everyOperation(place)).filter(
    ([name]) => name !== 'read' && name !== 'create',
  );
  const before = open();
  for (const [, operate] of operations) {
    for (const path of ['deep/er/file', 'deep/er/new', 'none/new', 'file', '../file', 'deep/']) operate(path);
  }
  assert.equal(open(), before);
});
