import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { InvalidArgumentError } from '../../src/errors.ts';
import { declare } from '../../src/linux/ffi.ts';
import {
  AF_INET,
  AF_INET6,
  decodeSocketAddress,
  encodeSocketAddress,
  SOCKET_ADDRESS_BYTES_MAX,
  type SocketAddress,
} from '../../src/linux/socket-address.ts';
import { Structure } from '../../src/linux/structure.ts';

const inetPton: (family: number, text: string, into: number) => number = declare(
  'int inet_pton(int, const char *, uintptr_t)',
);
const inetNtop: (family: number, from: number, into: number, length: number) => number = declare(
  'uintptr_t inet_ntop(int, uintptr_t, uintptr_t, uint)',
);

const scratch = new Structure(64);

function encode(address: SocketAddress): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(128).fill(0xee);
  return bytes.slice(0, encodeSocketAddress(address, bytes));
}

function decode(bytes: Uint8Array<ArrayBuffer>): SocketAddress | undefined {
  return decodeSocketAddress(bytes, bytes.length);
}

function textOfLibc(family: number, bytes: Uint8Array): string {
  scratch.bytes.set(bytes);
  assert.notEqual(inetNtop(family, scratch.address, scratch.address + 16, 48), 0);
  return Buffer.from(scratch.bytes.subarray(16, scratch.bytes.indexOf(0, 16))).toString('latin1');
}

function bytesOfLibc(family: number, text: string): Uint8Array<ArrayBuffer> {
  assert.equal(inetPton(family, text, scratch.address), 1);
  return scratch.bytes.slice(0, family === AF_INET ? 4 : 16);
}

function ipv6(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const sockaddr = new Uint8Array(28);
  sockaddr[0] = AF_INET6;
  sockaddr.set(bytes, 8);
  return sockaddr;
}

/** Mostly zeros, so that runs of zero groups of every length and place come up. */
const ipv6Bytes = fc
  .uint8Array({ minLength: 16, maxLength: 16 })
  .chain((bytes) =>
    fc
      .array(fc.boolean(), { minLength: 8, maxLength: 8 })
      .map((zero) => bytes.map((byte, index) => (zero[index >> 1] ? 0 : byte))),
  );

test('an IPv4 address reads and writes as libc does', () => {
  fc.assert(
    fc.property(fc.ipV4(), fc.nat(0xffff), (address, port) => {
      const bytes = encode({ family: 'IPv4', address, port });
      assert.deepEqual(bytes.subarray(4, 8), bytesOfLibc(AF_INET, address));
      assert.deepEqual(decode(bytes), { family: 'IPv4', address, port });
    }),
  );
});

test('an IPv6 address is written as libc writes it', () => {
  fc.assert(
    fc.property(ipv6Bytes, (bytes) => {
      // libc also writes the long deprecated "IPv4-compatible" addresses, ::/96, with dots.
      fc.pre(bytes.subarray(0, 12).some((byte) => byte !== 0));
      const address = textOfLibc(AF_INET6, bytes);
      assert.deepEqual(decode(ipv6(bytes)), { family: 'IPv6', address, port: 0 });
    }),
    { numRuns: 500 },
  );
});

test('the IPv6 addresses that have a form of their own', () => {
  const forms = [
    '::',
    '::1',
    '1::',
    'fe80::1',
    '1:0:0:2::3',
    '1:0:2:0:3:0:4:0',
    '::ffff:10.0.0.255',
    '1::2:0:0:3:4',
  ];
  for (const address of forms) {
    const bytes = encode({ family: 'IPv6', address, port: 443 });
    assert.deepEqual(decode(bytes), { family: 'IPv6', address, port: 443 });
  }
});

test('any text of an IPv6 address is read as libc reads it', () => {
  fc.assert(
    fc.property(fc.ipV6(), fc.nat(0xffff), (address, port) => {
      const bytes = encode({ family: 'IPv6', address, port });
      assert.deepEqual(bytes.subarray(8, 24), bytesOfLibc(AF_INET6, address));
      assert.equal((bytes[2]! << 8) | bytes[3]!, port);
    }),
    { numRuns: 500 },
  );
});

test('the interface of a link-local address goes by its index', () => {
  const address = { family: 'IPv6', address: 'fe80::1%4294967295', port: 1 } as const;
  assert.deepEqual(decode(encode(address)), address);
  for (const scope of ['0', '01', 'lo', '', '4294967296', '1%1']) {
    assert.throws(() => encode({ ...address, address: `fe80::1%${scope}` }), InvalidArgumentError);
  }
});

test('a path, an abstract name and no name come back as they went', () => {
  const character = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 });
  const path = character.filter((text) => !text.includes('\0'));
  fc.assert(
    fc.property(path, fc.boolean(), (text, abstract) => {
      const address = { family: 'unix', path: abstract ? `\0${text}` : text } as const;
      assert.deepEqual(decode(encode(address)), address);
    }),
  );
  assert.deepEqual(decode(encode({ family: 'unix', path: '' })), { family: 'unix', path: '' });
  assert.deepEqual(decode(new Uint8Array(0)), { family: 'unix', path: '' });
});

test('a path is at most 107 bytes, a name at most that behind its NUL', () => {
  for (const prefix of ['', '\0']) {
    const longest = { family: 'unix', path: `${prefix}${'ü'.repeat(53)}x` } as const;
    assert.equal(encode(longest).length, SOCKET_ADDRESS_BYTES_MAX);
    assert.deepEqual(decode(encode(longest)), longest);
    assert.throws(() => encode({ family: 'unix', path: `${longest.path}x` }), InvalidArgumentError);
    assert.throws(() => encode({ family: 'unix', path: `${longest.path}ü` }), InvalidArgumentError);
  }
});

test('what is not an address is refused before a byte reaches the kernel', () => {
  const wrong: unknown[] = [
    { family: 'IPv4', address: '1.2.3', port: 1 },
    { family: 'IPv4', address: '1.2.3.256', port: 1 },
    { family: 'IPv4', address: '::1', port: 1 },
    { family: 'IPv4', address: '1.2.3.4', port: 65_536 },
    { family: 'IPv4', address: '1.2.3.4', port: -1 },
    { family: 'IPv4', address: '1.2.3.4', port: 1.5 },
    { family: 'IPv4', address: '1.2.3.4', port: Number.NaN },
    { family: 'IPv6', address: '1.2.3.4', port: 1 },
    { family: 'IPv6', address: '1:::2', port: 1 },
    { family: 'IPv6', address: '', port: 1 },
    { family: 'unix', path: 'a\0b' },
    { family: 'unix', path: '\0\0' },
    { family: 'unix', path: '\ud800' },
    { family: 'AppleTalk', address: '1', port: 1 },
  ];
  for (const address of wrong) {
    assert.throws(() => encode(address as SocketAddress), InvalidArgumentError, JSON.stringify(address));
  }
});

test('an address that does not fit is refused', () => {
  const addresses: SocketAddress[] = [
    { family: 'IPv4', address: '1.2.3.4', port: 1 },
    { family: 'IPv6', address: '::', port: 1 },
    { family: 'unix', path: '/a' },
    { family: 'unix', path: '\0a' },
  ];
  for (const address of addresses) {
    const { length } = encode(address);
    assert.equal(encodeSocketAddress(address, new Uint8Array(length)), length);
    for (let room = 0; room < length; room++) {
      assert.throws(() => encodeSocketAddress(address, new Uint8Array(room)), InvalidArgumentError);
    }
  }
});

test('bytes that are no address decode to nothing, and never throw', () => {
  const wrong = [
    [2],
    [2, 0],
    [2, 0, 1, 2, 3, 4, 5],
    [10, 0, ...Array<number>(30).fill(0)],
    [16, 0, ...Array<number>(10).fill(0)],
    [1, 0, 0x61, 0, 0x62],
    [1, 0, 0, 0x61, 0],
    [1, 0, 0xff, 0],
    [1, 0, ...Array<number>(109).fill(0x61)],
  ];
  for (const bytes of wrong) assert.equal(decode(Uint8Array.from(bytes)), undefined, String(bytes));
  assert.equal(decodeSocketAddress(new Uint8Array(16), 17), undefined);

  fc.assert(
    fc.property(fc.constantFrom(1, 2, 10), fc.uint8Array({ maxLength: 120 }), (family, rest) => {
      const address = decode(Uint8Array.from([family, 0, ...rest]));
      if (address !== undefined) assert.deepEqual(decode(encode(address)), address);
    }),
  );
});
