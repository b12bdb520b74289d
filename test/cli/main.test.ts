import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { after, describe, test } from 'node:test';
import { checkMachine } from '../../src/host/machine.ts';
import { readImage } from '../../src/image/file.ts';
import { users } from '../support/users.ts';

const MAIN = join(import.meta.dirname, '../../src/cli/main.js');
const REFUSE_CALL = join(import.meta.dirname, '../support/refuse-call.js');
const SECCOMP = process.arch === 'arm64' ? 277 : 317;

const folder = mkdtempSync(join(tmpdir(), 'cli-'));
after(() => rmSync(folder, { recursive: true }));

interface Run {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

describe('build and inspect', () => {
  const entry = write('server.ts', 'export const answer = (): number => 42;');
  const image = join(folder, 'server.sgxio');

  test('an image is built, read back and described', async () => {
    const manifest = write(
      'manifest.json',
      '{ "name": "answers", "threads": 2, "grants": { "names": true } }',
    );
    const built = sgxio(['build', entry, '-o', image, '--manifest', manifest]);
    const { measurement } = await readImage(image);
    assert.deepEqual(built, { status: 0, stdout: `${measurement}  ${image}\n`, stderr: '' });
    const inspected = JSON.parse(sgxio(['inspect', image]).stdout) as { manifest: Record<string, unknown> };
    const { manifest: described, code, measurement: same } = await readImage(image);
    assert.deepEqual(inspected, { measurement: same, codeBytes: code.length, manifest: described });
    assert.equal(described.name, 'answers');
  });

  test('without a manifest the entry gives the name', async () => {
    assert.equal(sgxio(['build', entry, '-o', image]).status, 0);
    assert.equal((await readImage(image)).manifest.name, 'server');
  });

  test("a user's mistake is one line and ends with 2", () => {
    const changed = write('changed.sgxio', '');
    const bytes = readFileSync(image);
    bytes[bytes.length - 40]! ^= 1;
    writeFileSync(changed, bytes);
    const broken = write('broken.ts', 'const = 1;');
    const mistakes: [given: string[], message: RegExp][] = [
      [['bild'], /unknown command 'bild'/],
      [['build'], /required option '-o, --output <file>' not specified/],
      [['build', '-o', image], /missing required argument 'entry'/],
      [['build', entry, '-o', image, '--fast'], /unknown option '--fast'/],
      [['build', join(folder, 'no.ts'), '-o', image], /There is no program at .*no\.ts/],
      [['build', broken, '-o', image], /broken\.ts:1:7: Expected identifier/],
      [['build', entry, '-o', join(folder, 'no/image')], /cannot be written: ENOENT/],
      [
        ['build', entry, '-o', image, '--manifest', join(folder, 'no.json')],
        /The manifest .* cannot be read: ENOENT/,
      ],
      [['build', entry, '-o', image, '--manifest', write('a.json', '{')], /a\.json cannot be read: /],
      [['build', entry, '-o', image, '--manifest', write('b.json', '5')], /b\.json holds no object/],
      [['build', entry, '-o', image, '--manifest', write('c.json', '{"x":1}')], /'x' is not known/],
      [['inspect', join(folder, 'no')], /cannot be read: ENOENT/],
      [['inspect', entry], /is no image of sgxio/],
      [['inspect', changed], /was changed after it was built/],
      [['inspect', 'a', 'b'], /too many arguments/],
      [['doctor', '--xml'], /unknown option '--xml'/],
    ];
    for (const [given, message] of mistakes) {
      const { status, stdout, stderr } = sgxio(given);
      assert.match(stderr, message);
      assert.match(stderr, /^sgxio: [^\n]+\n$/, given.join(' '));
      assert.deepEqual({ status, stdout }, { status: 2, stdout: '' }, given.join(' '));
    }
  });

  test('help is given with examples, of all and of each command', () => {
    for (const given of [[], ['build'], ['inspect'], ['run'], ['trace'], ['doctor']]) {
      const { status, stdout } = sgxio([...given, '--help']);
      assert.equal(status, 0);
      assert.match(stdout, /Examples?:\n {2}\$ sgxio /);
    }
  });
});

describe('doctor', () => {
  test('it says in text and in JSON what the check of the machine finds', () => {
    const checks = checkMachine();
    const ready = isReady(checks);
    assert.deepEqual(JSON.parse(sgxio(['doctor', '--json']).stdout), { ready, checks });
    const { status, stdout } = sgxio(['doctor']);
    for (const { name, status: state } of checks)
      assert.match(stdout, new RegExp(`^${state} +${name} `, 'm'));
    assert.match(stdout, ready ? /\nEnclaves can run here\.\n$/ : /\nNo enclave can run here\.\n$/);
    assert.equal(status, ready ? 0 : 1);
  });

  for (const user of users().filter(({ name }) => name !== 'root')) {
    test(`${user.name} with little locked memory learns the three ways to raise the limit`, () => {
      const script = `ulimit -l 64 && exec "$0" "$1" doctor`;
      const { status, stdout } = spawnSync('sh', ['-c', script, process.execPath, MAIN], {
        uid: user.uid,
        gid: user.gid,
        cwd: '/',
        encoding: 'utf8',
      });
      assert.match(
        stdout,
        /^missing {3}locked memory {2}an enclave may have 65536 bytes of private memory$/m,
      );
      for (const way of ['prlimit', 'limits.d', 'LimitMEMLOCK'])
        assert.match(stdout, new RegExp(`^ +- .*${way}`, 'm'));
      assert.match(stdout, /\nNo enclave can run here\.\n$/);
      assert.equal(status, 1);
    });
  }

  for (const [name, call, required] of [
    ['secret memory', '447:38', true],
    ['secret memory', '447:1', true],
    ['seccomp', `${SECCOMP}:22`, true],
    ['Landlock', '444:38', false],
    ['io_uring', '425:38', false],
  ] as const) {
    test(`a kernel that answers ${call} lacks ${name}`, () => {
      const { status, stdout } = sgxio(['doctor', '--json'], ['--import', REFUSE_CALL], {
        REFUSE_CALL: call,
      });
      const { ready, checks } = JSON.parse(stdout) as {
        ready: boolean;
        checks: ReturnType<typeof checkMachine>;
      };
      const found = checks.find((check) => check.name === name)!;
      assert.deepEqual([found.status, found.required], ['missing', required]);
      assert.ok(found.advice.length > 0);
      const others = checks.filter((check) => check !== found);
      assert.deepEqual(
        others,
        checkMachine().filter((check) => check.name !== name),
      );
      const expected = !required && isReady(others);
      assert.deepEqual([ready, status], [expected, expected ? 0 : 1]);
    });
  }
});

function isReady(checks: ReturnType<typeof checkMachine>): boolean {
  return checks.every((check) => check.status === 'enforced' || !check.required);
}

function sgxio(
  given: readonly string[],
  nodeOptions: readonly string[] = [],
  environment: NodeJS.ProcessEnv = {},
): Run {
  const env = { ...process.env, ...environment };
  const { status, stdout, stderr } = spawnSync(process.execPath, [...nodeOptions, MAIN, ...given], {
    encoding: 'utf8',
    env,
  });
  return { status, stdout, stderr };
}

function write(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}
