import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import {
  answerHello,
  CLIENT_HELLO_BYTES,
  ClientAgreement,
  SERVER_HELLO_BYTES,
  VERIFICATION_BYTES,
} from '../../../apps/parameter-server/agreement.ts';

const VERIFICATION: Uint8Array<ArrayBuffer> = new Uint8Array(VERIFICATION_BYTES).fill(1);

test('both sides come to the same key, another one for each connection', () => {
  const keys = new Set<string>();
  for (let round = 0; round < 4; round += 1) {
    const client = new ClientAgreement();
    assert.equal(client.hello.length, CLIENT_HELLO_BYTES);
    const server = answerHello(client.hello, VERIFICATION);
    assert.equal(server.hello.length, SERVER_HELLO_BYTES);
    assert.equal(server.key.length, 16);
    assert.deepEqual(client.finish(server.hello, VERIFICATION), server.key);
    keys.add(Buffer.from(server.key).toString('hex'));
  }
  assert.equal(keys.size, 4);
});

test('a side with another verification value comes to no key', () => {
  const client = new ClientAgreement();
  const server = answerHello(client.hello, VERIFICATION);
  const other = new Uint8Array(VERIFICATION_BYTES).fill(2);
  assert.throws(() => client.finish(server.hello, other), { name: 'ProtocolError', code: 'KEY_REJECTED' });
});

test('a hello that was changed on the way leads to no common key', () => {
  const client = new ClientAgreement();
  const server = answerHello(client.hello, VERIFICATION);
  for (let index = 0; index < server.hello.length; index += 1) {
    const changed = server.hello.slice();
    changed[index]! ^= 1;
    assert.throws(() => client.finish(changed, VERIFICATION), { code: 'KEY_REJECTED' }, `byte ${index}`);
  }
});

test('refuses a hello of another protocol, one cut short, and public keys of small order', () => {
  const { hello } = new ClientAgreement();
  const otherProtocol = hello.slice();
  otherProtocol[7] = 0x32;
  const smallOrder = hello.slice();
  smallOrder.fill(0, 8);
  for (const bad of [otherProtocol, hello.subarray(1), randomBytes(CLIENT_HELLO_BYTES), smallOrder]) {
    assert.throws(() => answerHello(bad, VERIFICATION), { name: 'ProtocolError', code: 'HELLO_INVALID' });
  }
});
