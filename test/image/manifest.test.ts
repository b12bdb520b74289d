import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { manifestText, parseManifest, RUNTIME_VERSION } from '../../src/image/manifest.ts';
import { INPUT_LENGTH_MAX, THREADS_MAX } from '../../src/limits.ts';

test('what is left out gets its default', () => {
  assert.deepEqual(parseManifest({ name: 'echo' }), {
    name: 'echo',
    runtimeVersion: RUNTIME_VERSION,
    privateMemoryBytes: 1_048_576,
    storeBytes: 0,
    threads: 1,
    grants: { listen: [], connect: [], files: [], streams: [], names: false },
    input: {},
  });
});

test('the version is that of the package', () => {
  const text = readFileSync(join(import.meta.dirname, '../../../package.json'), 'utf8');
  assert.equal(RUNTIME_VERSION, (JSON.parse(text) as { version: string }).version);
});

test('a full manifest comes out as it went in, in one order of its keys', () => {
  const grants = {
    names: true,
    streams: ['stdout', 'stderr'],
    files: [{ access: 'read-write', mount: '/data' }],
    connect: ['tcp:example.com:443'],
    listen: ['tcp:127.0.0.1:0', 'unix:/run/a.sock'],
  };
  const written = {
    input: { b: '2', a: '1' },
    threads: 2,
    grants,
    privateMemoryBytes: 8192,
    storeBytes: 4096,
    name: 'full',
  };
  const manifest = parseManifest(written);
  assert.deepEqual(manifest, { ...written, runtimeVersion: RUNTIME_VERSION });
  assert.equal(manifestText(manifest), manifestText(parseManifest(JSON.parse(manifestText(manifest)))));
  const { name, ...rest } = written;
  const reordered = { name, ...rest, input: { a: '1', b: '2' } };
  assert.equal(manifestText(parseManifest(reordered)), manifestText(manifest));
});

const wrong: [what: string, value: unknown, message: RegExp][] = [
  ['no object', 7, /^The manifest must be an object\.$/],
  ['null', null, /^The manifest must be an object\.$/],
  ['a list', [], /'name' is missing/],
  ['no name', {}, /'name' is missing/],
  ['a name with capitals', { name: 'Echo' }, /'name' must be 1 to 64 of a-z/],
  ['an empty name', { name: '' }, /'name' must be/],
  ['a name like a path', { name: '../a' }, /'name' must be/],
  ['an unknown key', { name: 'a', memory: 5 }, /'memory' is not known; take it out/],
  ['an unknown grant', { name: 'a', grants: { exec: [] } }, /'grants.exec' is not known/],
  ['no threads', { name: 'a', threads: 0 }, /'threads' must be at least 1/],
  ['too many threads', { name: 'a', threads: THREADS_MAX + 1 }, /'threads' must be at most 12/],
  ['half a thread', { name: 'a', threads: 1.5 }, /'threads' must be a whole number/],
  ['threads as text', { name: 'a', threads: '2' }, /'threads' must be a number/],
  ['not a number', { name: 'a', threads: Number.NaN }, /'threads' must be/],
  ['half a page', { name: 'a', privateMemoryBytes: 5000 }, /'privateMemoryBytes' must be a multiple of 4096/],
  ['no memory', { name: 'a', privateMemoryBytes: 0 }, /'privateMemoryBytes' must be at least 4096/],
  ['too much memory', { name: 'a', privateMemoryBytes: 2 ** 40 }, /'privateMemoryBytes' must be at most/],
  [
    'a bad address',
    { name: 'a', grants: { listen: ['tcp:x'] } },
    /'grants.listen.0' is wrong: "tcp:x" is no address/,
  ],
  ['an address as number', { name: 'a', grants: { connect: [80] } }, /'grants.connect.0' must be text/],
  ['no list', { name: 'a', grants: { listen: 'tcp:127.0.0.1:80' } }, /'grants.listen' must be a list/],
  [
    'a relative mount',
    { name: 'a', grants: { files: [{ mount: 'x', access: 'read' }] } },
    /'grants.files.0.mount' is wrong/,
  ],
  [
    'a mount not in normal form',
    { name: 'a', grants: { files: [{ mount: '/a/', access: 'read' }] } },
    /'grants.files.0.mount' is wrong: write "\/a\/" as "\/a"/,
  ],
  ['no access', { name: 'a', grants: { files: [{ mount: '/a' }] } }, /'grants.files.0.access' is missing/],
  [
    'an odd access',
    { name: 'a', grants: { files: [{ mount: '/a', access: 'x' }] } },
    /must be 'read' or 'read-write'/,
  ],
  ['an odd stream', { name: 'a', grants: { streams: ['tty'] } }, /'grants.streams.0' must be 'stdin'/],
  ['names as text', { name: 'a', grants: { names: 'yes' } }, /'grants.names' must be true or false/],
  ['input that is no text', { name: 'a', input: { a: 1 } }, /'input.a' must be text/],
  [
    'input of a forbidden name',
    { name: 'a', input: JSON.parse('{"__proto__":"x"}') },
    /'input' cannot have the keys __proto__/,
  ],
  ['a lot of input', { name: 'a', input: { a: 'x'.repeat(INPUT_LENGTH_MAX) } }, /'input' must be at most/],
  ['another version', { name: 'a', runtimeVersion: '0.0.1' }, /'runtimeVersion' is "0.0.1", but this is/],
];

for (const [what, value, message] of wrong) {
  test(`refused: ${what}`, () => {
    assert.throws(
      () => parseManifest(value),
      (error: Error & { code: string }) => {
        assert.equal(error.code, 'SGXIO_IMAGE_INVALID');
        assert.match(error.message, message);
        assert.ok(!error.message.includes('\n'));
        return true;
      },
    );
  });
}
