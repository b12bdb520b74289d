import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { after, test } from 'node:test';
import { buildImage } from '../../src/image/build.ts';
import { decodeImage, encodeImage } from '../../src/image/image.ts';

const folder = mkdtempSync(join(tmpdir(), 'build-'));
after(() => rmSync(folder, { recursive: true }));

const FILES: Readonly<Record<string, string>> = {
  'main.ts': `
    import { net } from 'sgxio/enclave';
    import { createHash } from 'node:crypto';
    import dependency from 'dependency';
    import table from './data/table.json' with { type: 'json' };
    import { type Shape, double } from './lib/double.ts';
    export class Counter { count = 0; constructor(readonly shape: Shape) {} }
    export const answer = (): number => double(dependency.one + table.length);
    export const hash = () => createHash('sha256').update('é').digest('hex');
    export const services = () => net;
    export const load = async (name: string) => import(name);
    export const production = process.env.NODE_ENV;`,
  'lib/double.ts': `export interface Shape { size: number } /* a comment */ export function double(n: number) { return 2 * n; }`,
  'data/table.json': '[1, 2, 3]',
  'node_modules/dependency/package.json': '{ "name": "dependency", "main": "lib/first.js" }',
  'node_modules/dependency/lib/first.js': `/*! a license */ exports.one = require('./second.js') - 1;`,
  'node_modules/dependency/lib/second.js': 'module.exports = 2;',
};

test('the measurement is the same in another folder, from another one, with other settings around', async () => {
  const first = makeProgram('first', FILES);
  const second = makeProgram('second/deeper/still', FILES);
  writeFileSync(
    join(folder, 'second/tsconfig.json'),
    '{ "compilerOptions": { "target": "es5", "useDefineForClassFields": false } }',
  );
  const image = await buildImage(join(first, 'main.ts'), { name: 'program' });
  const before = { folder: process.cwd(), environment: process.env['NODE_ENV'] };
  try {
    process.chdir(second);
    process.env['NODE_ENV'] = 'development';
    assert.deepEqual(await buildImage('main.ts', { name: 'program' }), image);
  } finally {
    process.chdir(before.folder);
    if (before.environment === undefined) delete process.env['NODE_ENV'];
    else process.env['NODE_ENV'] = before.environment;
  }
  const code = new TextDecoder().decode(image.code);
  for (const trace of [folder, 'first.js', 'second.js', 'node_modules', 'lib/', 'comment', 'license']) {
    assert.ok(!code.includes(trace), trace);
  }
});

test('where a package lies does not matter, what is in it does', async () => {
  const inside = makeProgram('hoisting/inside', FILES);
  const outside = makeProgram('hoisting/outside', FILES);
  const image = await buildImage(join(inside, 'main.ts'), { name: 'program' });
  cpSync(join(outside, 'node_modules'), join(folder, 'hoisting/node_modules'), { recursive: true });
  rmSync(join(outside, 'node_modules'), { recursive: true });
  assert.equal(
    (await buildImage(join(outside, 'main.ts'), { name: 'program' })).measurement,
    image.measurement,
  );
  writeFileSync(join(folder, 'hoisting/node_modules/dependency/lib/second.js'), 'module.exports = 3;');
  assert.notEqual(
    (await buildImage(join(outside, 'main.ts'), { name: 'program' })).measurement,
    image.measurement,
  );
});

test('a built image can be stored and does what its source says', async () => {
  const image = decodeImage(
    encodeImage(await buildImage(join(makeProgram('run', FILES), 'main.ts'), { name: 'program' })),
  );
  const { exports, asked } = evaluate(new TextDecoder().decode(image.code));
  assert.equal(exports['answer']!(), 8);
  assert.equal(exports['production'], 'production');
  assert.equal(exports['services']!(), 'sgxio/enclave net');
  await assert.rejects(exports['load']!('node:fs') as Promise<unknown>, /asked for node:fs/);
  assert.deepEqual(asked, ['sgxio/enclave', 'node:crypto', 'node:fs']);
});

test("this package's own entry stands for the services too", async () => {
  const entry = join(import.meta.dirname, '../../../src/enclave.ts');
  const main = join(
    makeProgram('own', {
      'main.ts': `import { net } from ${JSON.stringify(relativeTo('own', entry))}; export { net };`,
    }),
    'main.ts',
  );
  const { exports } = evaluate(new TextDecoder().decode((await buildImage(main, { name: 'own' })).code));
  assert.equal(exports['net'], 'sgxio/enclave net');
});

test('a module of WebAssembly is its bytes, and a package that asks where it lies learns nothing', async () => {
  const main = join(
    makeProgram('wasm', {
      'main.ts': `
        import bytes from 'dependency/module.wasm';
        import { place } from 'dependency/place.mjs';
        export const magic = () => [bytes instanceof Uint8Array, ...bytes];
        export { place };`,
      'node_modules/dependency/module.wasm': '\0asm\u0001\0\0\0',
      'node_modules/dependency/place.mjs': `export const place = new URL('module.wasm', import.meta.url).href;`,
    }),
    'main.ts',
  );
  const { exports } = evaluate(new TextDecoder().decode((await buildImage(main, { name: 'wasm' })).code));
  assert.deepEqual(exports['magic']!(), [true, 0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
  assert.equal(exports['place'], 'file:///module.wasm');
});

const wrong: [what: string, source: string, message: RegExp][] = [
  [
    'a syntax error',
    'export const a = 1;\nexport const = 2;',
    /^The program cannot be bundled: .*main\.ts:2:14: Expected identifier/,
  ],
  ['a missing module', `import './missing.ts';`, /main\.ts:1:8: Could not resolve "\.\/missing\.ts"/],
  ['a missing package', `import 'no-such-package';`, /main\.ts:1:8: Could not resolve "no-such-package"/],
  ['the entry of the host', `import { Enclave } from 'sgxio'; Enclave;`, /import 'sgxio\/enclave'/],
  ['top-level await', 'await 1; export {};', /main\.ts:1:1: Top-level await/],
  [
    'import.meta but for the place of the program',
    'export const folder = import.meta.dirname;',
    /main\.ts:1:23: "import\.meta" is not available/,
  ],
  ['a native module', `import './a.node';`, /No loader is configured for "\.node" files/],
];

for (const [what, source, message] of wrong) {
  test(`refused: ${what}`, async () => {
    const main = join(makeProgram(what, { 'main.ts': source, 'a.node': '' }), 'main.ts');
    await assert.rejects(buildImage(main, { name: 'wrong' }), (error: Error & { code: string }) => {
      assert.equal(error.code, 'SGXIO_IMAGE_INVALID');
      assert.match(error.message, message);
      assert.ok(!error.message.includes('\n'));
      return true;
    });
  });
}

test('refused: an entry that is not there, a folder, a program that is too large, a bad manifest', async () => {
  const missing = join(folder, 'missing.ts');
  await assert.rejects(buildImage(missing, { name: 'a' }), {
    message: `There is no program at ${missing}; name a .ts or .js file.`,
  });
  await assert.rejects(buildImage(folder, { name: 'a' }), {
    code: 'SGXIO_IMAGE_INVALID',
    message: /There is no program/,
  });
  const large = makeProgram('large', { 'main.js': `exports.text = '${'x'.repeat(17_000_000)}';` });
  await assert.rejects(buildImage(join(large, 'main.js'), { name: 'a' }), {
    message: /its code has \d+ bytes, more than/,
  });
  await assert.rejects(buildImage(missing, { name: 'A' }), { message: /'name' must be/ });
});

function makeProgram(name: string, files: Readonly<Record<string, string>>): string {
  for (const [path, text] of Object.entries(files)) {
    const file = join(folder, name, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
  return join(folder, name);
}

function relativeTo(name: string, path: string): string {
  return join(
    ...join(folder, name)
      .split('/')
      .slice(1)
      .map(() => '..'),
    path,
  );
}

type Exports = Record<string, (...values: unknown[]) => unknown>;

/** Evaluates a bundle with a `require` that tells what was asked for. */
function evaluate(code: string): { exports: Exports; asked: string[] } {
  const asked: string[] = [];
  const module = { exports: {} as Exports };
  new Function('module', 'exports', 'require', code)(module, module.exports, (name: string) => {
    asked.push(name);
    if (name === 'sgxio/enclave') return { net: 'sgxio/enclave net' };
    if (name === 'node:crypto') return {};
    throw new Error(`asked for ${name}`);
  });
  return { exports: module.exports, asked };
}
