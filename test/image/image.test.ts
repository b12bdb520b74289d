import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { readImage, writeImage } from '../../src/image/file.ts';
import { createImage, decodeImage, ENCODED_IMAGE_BYTES_MAX, encodeImage } from '../../src/image/image.ts';
import { manifestText, parseManifest } from '../../src/image/manifest.ts';
import { CODE_BYTES_MAX } from '../../src/limits.ts';

const folder = mkdtempSync(join(tmpdir(), 'image-'));
after(() => rmSync(folder, { recursive: true }));

const manifest = parseManifest({ name: 'echo', threads: 2, input: { key: 'value' } });
const code = new TextEncoder().encode('exports.answer = () => 42;');
const image = createImage(manifest, code);
const bytes = encodeImage(image);

test('an image comes back as it was, from bytes and from a file', async () => {
  assert.deepEqual(decodeImage(bytes), image);
  const path = join(folder, 'echo.sgxio');
  await writeImage(path, image);
  assert.deepEqual(await readImage(path), image);
});

test('the measurement is the hash of all that comes before it, each part with its length', () => {
  const text = new TextEncoder().encode(manifestText(manifest));
  const header = Buffer.alloc(20);
  header.write('SGXIOIMG');
  header.writeUInt32LE(1, 8);
  header.writeUInt32LE(text.length, 12);
  header.writeUInt32LE(code.length, 16);
  assert.equal(
    createHash('sha256').update(header).update(text).update(code).digest('hex'),
    image.measurement,
  );
});

test('code and manifest each change the measurement', () => {
  const changed = new TextEncoder().encode('exports.answer = () => 43;');
  const measurements = [
    image,
    createImage(manifest, changed),
    createImage({ ...manifest, threads: 3 }, code),
  ];
  assert.equal(new Set(measurements.map(({ measurement }) => measurement)).size, 3);
});

test('one changed byte anywhere is found', () => {
  for (let at = 0; at < bytes.length; at++) {
    const changed = bytes.slice();
    changed[at]! ^= 1 << (at % 8);
    assert.throws(() => decodeImage(changed), { code: /^SGXIO_IMAGE_(INVALID|TAMPERED)$/ }, `byte ${at}`);
  }
});

test('changes to code, manifest and measurement are called by their name', () => {
  for (const at of [30, bytes.length - 40, bytes.length - 1]) {
    const changed = bytes.slice();
    changed[at]! ^= 1;
    assert.throws(() => decodeImage(changed), { code: 'SGXIO_IMAGE_TAMPERED' });
  }
});

test('a manifest that is valid but not in its one form is refused, although it is whole', () => {
  const spaced = manifestText(manifest).replace(',', ', ');
  assert.throws(() => decodeImage(sealed(spaced)), /not in the form that is measured/);
  assert.throws(() => decodeImage(sealed('{')), /no JSON/);
  assert.throws(() => decodeImage(sealed(manifestText(manifest).replace('echo', 'ECHO'))), /'name' must be/);
});

test('any other bytes are refused with a typed error', () => {
  const garbage = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.uint8Array({ maxLength: 200 }).map((tail) => new Uint8Array([...bytes.slice(0, 12), ...tail])),
    fc.nat({ max: bytes.length - 1 }).map((length) => bytes.slice(0, length)),
    fc.uint8Array({ minLength: 1, maxLength: 9 }).map((tail) => new Uint8Array([...bytes, ...tail])),
  );
  fc.assert(
    fc.property(garbage, (given) => {
      assert.throws(() => decodeImage(new Uint8Array(given)), { code: /^SGXIO_IMAGE_(INVALID|TAMPERED)$/ });
    }),
  );
});

test('what is too large is refused before it is read', async () => {
  assert.throws(
    () => createImage(manifest, new Uint8Array(CODE_BYTES_MAX + 1)),
    /code has 16777217 bytes, more than/,
  );
  const lying = bytes.slice();
  new DataView(lying.buffer).setUint32(16, 0xffff_ffff, true);
  assert.throws(() => decodeImage(lying), /code has 4294967295 bytes, more than/);
  const path = join(folder, 'large');
  writeFileSync(path, '');
  truncateSync(path, ENCODED_IMAGE_BYTES_MAX + 1);
  await assert.rejects(readImage(path), { code: 'SGXIO_IMAGE_INVALID', message: /no file of at most/ });
});

test('a file that cannot be used is named', async () => {
  const path = join(folder, 'missing', 'image');
  await assert.rejects(readImage(path), {
    code: 'SGXIO_IMAGE_INVALID',
    message: `The image ${path} cannot be read: ENOENT.`,
  });
  await assert.rejects(writeImage(path, image), {
    code: 'SGXIO_IMAGE_INVALID',
    message: /cannot be written: ENOENT/,
  });
  await assert.rejects(readImage(folder), { code: 'SGXIO_IMAGE_INVALID', message: /no file of at most/ });
});

/** A whole image around any text of a manifest. */
function sealed(text: string): Uint8Array<ArrayBuffer> {
  const manifestBytes = new TextEncoder().encode(text);
  const measured = Buffer.concat([bytes.slice(0, 20), manifestBytes, code]);
  measured.writeUInt32LE(manifestBytes.length, 12);
  return new Uint8Array(Buffer.concat([measured, createHash('sha256').update(measured).digest()]));
}
