import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import { posix } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  canonicalHost,
  type FileGrant,
  matchesConnect,
  matchesListen,
  mountOf,
  normalizePath,
  parseConnectGrant,
  parseGrants,
  parseListenGrant,
} from '../../src/boundary/grants.ts';

const none = { listen: [], connect: [], files: [], streams: [], names: false };
const mistake = { code: 'SGXIO_INVALID_ARGUMENT' };

test('an address reads as it is written', () => {
  assert.deepEqual(parseListenGrant('tcp:127.0.0.1:8080'), {
    transport: 'tcp',
    host: '127.0.0.1',
    port: 8080,
  });
  assert.deepEqual(parseListenGrant('udp:[::0:1]:*'), { transport: 'udp', host: '::1', port: '*' });
  assert.deepEqual(parseListenGrant('tcp:0.0.0.0:0'), { transport: 'tcp', host: '0.0.0.0', port: 0 });
  assert.deepEqual(parseConnectGrant('tcp:Example.com:443'), {
    transport: 'tcp',
    host: 'example.com',
    port: 443,
  });
  assert.deepEqual(parseConnectGrant('unix:/run//a.sock'), { transport: 'unix', path: '/run/a.sock' });
});

for (const text of [
  '',
  'tcp',
  'tcp:127.0.0.1',
  'tcp:127.0.0.1:',
  'tcp:127.0.0.1:65536',
  'tcp:127.0.0.1:-1',
  'tcp:127.0.0.1:1e3',
  'tcp:127.0.0.1:80 ',
  'tcp:127.0.0.1:80:90',
  'tcp:127.0.0.01:80',
  'tcp:127.1:80',
  'tcp:2130706433:80',
  'tcp:256.0.0.1:80',
  'tcp:::1:80',
  'tcp:[127.0.0.1]:80',
  'tcp:[::1%lo]:80',
  'tcp:[::1]80',
  'tcp:[]:80',
  'tcp:*:80',
  'tcp:-a.example:80',
  'tcp:a..example:80',
  'tcp:exa mple:80',
  'tcp:a/b:80',
  'http://127.0.0.1:80',
  'TCP:127.0.0.1:80',
  'unix:relative',
  'unix:',
  'unix:/a/../b',
  'unix:/a\0b',
  `unix:/${'a'.repeat(107)}`,
]) {
  test(`no address: ${JSON.stringify(text)}`, () => {
    assert.throws(() => parseListenGrant(text), mistake);
    assert.throws(() => parseConnectGrant(text), mistake);
  });
}

test('a program listens on addresses, and connects to ports', () => {
  assert.throws(() => parseListenGrant('tcp:localhost:80'), /write its IP address/);
  assert.throws(() => parseConnectGrant('tcp:127.0.0.1:0'), /write a port/);
});

const port = fc.nat({ max: 65_535 });
const host = fc.oneof(fc.ipV4(), fc.ipV6());
const transport = fc.constantFrom('tcp', 'udp');
const written = (name: string, at: number | '*') =>
  name.includes(':') ? `[${name}]:${at}` : `${name}:${at}`;

test('a grant covers its own address and no other', () => {
  fc.assert(
    fc.property(
      transport,
      host,
      port,
      transport,
      host,
      port,
      (way, name, at, otherWay, otherName, otherAt) => {
        const exact = parseGrants({ ...none, listen: [`${way}:${written(name, at)}`] });
        const anyPort = parseGrants({ ...none, listen: [`${way}:${written(name, '*')}`] });
        assert.ok(matchesListen(exact, { transport: way, host: name, port: at }));
        assert.ok(matchesListen(anyPort, { transport: way, host: name, port: otherAt }));
        const same = way === otherWay && canonicalHost(name) === canonicalHost(otherName);
        const other = { transport: otherWay, host: otherName, port: otherAt };
        assert.equal(matchesListen(exact, other), same && at === otherAt);
        assert.equal(matchesListen(anyPort, other), same);
        assert.equal(
          matchesConnect(exact, { transport: way, host: name, port: at }),
          false,
          'listening only',
        );
      },
    ),
  );
});

test('an address grant takes no other transport', () => {
  const grants = parseGrants({ ...none, connect: ['unix:/a.sock', 'tcp:a.example:*'] });
  assert.ok(matchesConnect(grants, { transport: 'unix', path: '/a.sock' }));
  assert.ok(!matchesConnect(grants, { transport: 'unix', path: '/b.sock' }));
  assert.ok(matchesConnect(grants, { transport: 'tcp', host: 'A.example', port: 1 }));
  assert.ok(!matchesConnect(grants, { transport: 'udp', host: 'a.example', port: 1 }));
  assert.ok(!matchesConnect(grants, { transport: 'tcp', host: 'b.a.example', port: 1 }));
  assert.ok(!matchesConnect(grants, { transport: 'tcp', host: 'a.example\0', port: 1 }));
});

test('an undefined canonical form matches nothing', () => {
  const grants = parseGrants({ ...none, listen: ['tcp:127.0.0.1:*'] });
  assert.ok(!matchesListen(grants, { transport: 'tcp', host: '127.0.0.1 ', port: 1 }));
});

test('all forms of one IPv6 address are one; what Node takes for an address we take too', () => {
  fc.assert(
    fc.property(fc.ipV6(), (name) => {
      const canonical = canonicalHost(name);
      assert.equal(canonical, canonicalHost(name.toUpperCase()));
      assert.equal(isIP(canonical!), 6);
      assert.equal(canonicalHost(canonical!), canonical);
    }),
  );
  const texts = fc.oneof(fc.ipV4(), fc.ipV4Extended(), fc.stringMatching(/^[0-9.]{1,16}$/));
  fc.assert(fc.property(texts, (text) => assert.equal(canonicalHost(text) !== undefined, isIP(text) === 4)));
});

const part = fc.constantFrom('a', 'b', 'data', '.', '', 'x y', '...', 'é');
const path = fc.array(part, { maxLength: 6 }).map((parts) => `/${parts.join('/')}`);
const mounts = fc.uniqueArray(path.map(normalizePath), { maxLength: 5 });

test('a path belongs to its innermost mount, as a comparison of normalized text says', () => {
  fc.assert(
    fc.property(mounts, path, (places, asked) => {
      const grants = places.map((mount): FileGrant => ({ mount, access: 'read' }));
      const normal = posix.resolve(asked);
      const holding = places.filter(
        (mount) => mount === '/' || normal === mount || normal.startsWith(`${mount}/`),
      );
      const innermost = holding.sort((left, right) => right.length - left.length)[0];
      const found = mountOf(grants, asked);
      assert.equal(found?.grant.mount, innermost);
      if (found === undefined) return;
      assert.equal(posix.join(found.grant.mount, found.relative).replace(/(?<=.)\/$/, ''), normal);
      assert.ok(!found.relative.startsWith('/') && !found.relative.split('/').includes('..'));
    }),
  );
});

test('paths that could lead elsewhere are refused', () => {
  const grants: FileGrant[] = [{ mount: '/data', access: 'read' }];
  for (const asked of [
    '',
    'data/a',
    './data',
    '/data/../etc',
    '/data/..',
    '/..',
    '/data/a\0b',
    `/data/${'a'.repeat(4100)}`,
  ]) {
    assert.throws(() => mountOf(grants, asked), mistake, asked);
  }
  assert.equal(mountOf(grants, '/database/a'), undefined);
  assert.equal(mountOf(grants, '/data/..a')?.relative, '..a');
});
