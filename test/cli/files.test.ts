import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { after, describe, test } from 'node:test';

const MAIN = join(import.meta.dirname, '../../src/cli/main.js');
const folder = mkdtempSync(join(tmpdir(), 'cli-files-'));
after(() => rmSync(folder, { recursive: true }));

function files(...given: string[]): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, 'files', ...given], {
    encoding: 'latin1',
    maxBuffer: 2 ** 26,
  });
  return { status, stdout, stderr };
}

function path(name: string): string {
  return join(folder, name);
}

describe('sgxio files', () => {
  const key = path('key');
  const store = path('files.sgxio');
  const source = path('source');
  const content = Buffer.alloc(3_000_000, 'what nobody may read ');
  writeFileSync(source, content);

  test('a mount is made, filled, listed, read and found whole', () => {
    assert.deepEqual(files('init', folder, '-k', key, '--new-key'), { status: 0, stdout: '', stderr: '' });
    assert.equal(statSync(key).mode & 0o777, 0o600);
    assert.equal(files('put', folder, source, '/deep/in/file', '-k', key).status, 0);
    assert.match(files('ls', folder, '/', '-k', key).stdout, /deep\//);
    assert.match(files('ls', folder, 'deep/in', '-k', key).stdout, /0666\s+3000000\s+\S+Z\s+file/);
    assert.equal(files('cat', folder, '/deep/in/file', '-k', key).stdout, content.toString('latin1'));
    assert.equal(readFileSync(store).includes('nobody'), false);
    const verified = files('verify', folder, '-k', key);
    assert.equal(verified.status, 0);
    assert.equal(verified.stdout, 'everything is as it was written\n');
    assert.match(verified.stderr, /\/deep\/in\/file/);
  });

  test('verify names what was damaged, each block', () => {
    const whole = readFileSync(store);
    const descriptor = openSync(store, 'r+');
    for (const slot of [100, 250]) writeSync(descriptor, Buffer.from([1, 2, 3]), 0, 3, slot * 4096 + 9);
    closeSync(descriptor);
    const { status, stdout } = files('verify', folder, '-k', key);
    assert.equal(status, 1);
    assert.equal(stdout.match(/\/deep\/in\/file: block \d+ is not what was written there/g)?.length, 2);
    writeFileSync(store, whole);
  });

  test('a mount under another key has the same files, and does not open under the old one', () => {
    const other = path('other-key');
    writeFileSync(other, Buffer.alloc(32, 9));
    const listed = files('ls', folder, 'deep/in', '-k', key).stdout;
    assert.equal(files('rekey', folder, '-k', key, '--new-key-file', other).status, 0);
    assert.equal(files('ls', folder, 'deep/in', '-k', other).stdout, listed);
    assert.equal(files('cat', folder, 'deep/in/file', '-k', other).stdout, content.toString('latin1'));
    const old = files('ls', folder, '-k', key);
    assert.equal(old.status, 2);
    assert.match(old.stderr, /^sgxio: .*the key is another one/);
  });

  test('a key that is derived for a path opens under that path alone', () => {
    const inner = mkdtempSync(join(folder, 'inner-'));
    assert.equal(files('init', inner, '-k', key, '--mount', '/data').status, 0);
    assert.equal(files('ls', inner, '-k', key, '-m', '/data').status, 0);
    assert.equal(files('ls', inner, '-k', key, '-m', '/date').status, 2);
    assert.equal(files('ls', inner, '-k', key).status, 2);
  });

  test("a user's mistake is one line and ends with 2", () => {
    const mistakes: [given: string[], message: RegExp][] = [
      [['ls', folder], /required option '-k, --key-file <file>'/],
      [['ls', folder, '-k', path('none')], /the key file cannot be read/],
      [['ls', folder, '-k', source], /has no key: it holds 32 bytes or 64 hexadecimal digits/],
      [['ls', tmpdir(), '-k', key], /there is no protected mount/],
      [['init', folder, '-k', key], /has a protected mount already/],
      [['init', path('none'), '-k', key], /there is no directory/],
      [['init', folder, '-k', key, '--new-key'], /the key file cannot be made/],
      [['cat', folder, '/none', '-k', path('other-key')], /ENOENT/],
      [['cat', folder, '/deep', '-k', path('other-key')], /EISDIR/],
      [['put', folder, path('none'), '/x', '-k', path('other-key')], /cannot be read/],
    ];
    for (const [given, message] of mistakes) {
      const { status, stderr } = files(...given);
      assert.equal(status, 2, given.join(' '));
      assert.match(stderr, message);
      assert.equal(stderr.trimEnd().split('\n').length, 1, stderr);
    }
  });
});
