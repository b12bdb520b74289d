import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { loadProgram, type ProgramExports } from '../../src/enclave/program.ts';
import { buildImage } from '../../src/image/build.ts';

const folder = mkdtempSync(join(tmpdir(), 'program-'));
after(() => rmSync(folder, { recursive: true }));

const services = { net: 'the network' };
const modules = new Map<string, unknown>([['sgxio/enclave', services]]);
const forbidden = { code: 'SGXIO_FORBIDDEN_MODULE' };

/** Modules that a program may load, beside `process`, which is not the one of Node. */
const COMPUTING = (
  'assert assert/strict async_hooks buffer crypto diagnostics_channel events path path/posix perf_hooks process ' +
  'querystring stream stream/consumers stream/promises stream/web string_decoder timers timers/promises url util ' +
  'util/types zlib'
).split(' ');

test('a built program runs with the services of its enclave', async () => {
  const program = await build(`#!/usr/bin/env node
    import { net } from 'sgxio/enclave';
    import { createHash } from 'node:crypto';
    import { basename } from 'path';
    export const service = net;
    export const hash = (text: string) => createHash('sha256').update(text).digest('hex');
    export default async (path: string) => (await import('node:util')).inspect(basename(path));`);
  assert.equal(program['service'], services.net);
  assert.equal(
    call(program, 'hash', 'abc'),
    'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
  );
  assert.equal(await call(program, 'default', '/a/b'), "'b'");
});

test('of the modules of Node it loads those that compute, with prefix and without, and no other', () => {
  const load = loadProgram('exports.load = require;', modules)['load'] as (name: string) => unknown;
  const loaded = builtinModules.filter((name) => isLoaded(load, name));
  assert.deepEqual(loaded.toSorted(), COMPUTING.toSorted());
  for (const name of [...builtinModules, 'sea', 'test', 'sqlite', 'no-such-module']) {
    assert.equal(isLoaded(load, `node:${name}`), COMPUTING.includes(name), name);
  }
});

for (const [name, advice] of [
  ['fs', /cannot load 'node:fs': use 'files' of sgxio\/enclave\./],
  ['fs/promises', /'files'/],
  ['net', /'net'/],
  ['http', /'net'/],
  ['https', /'net'/],
  ['dgram', /'net'/],
  ['dns', /'names'/],
  ['dns/promises', /'names'/],
  ['child_process', /starts no processes/],
  ['worker_threads', /'threads' in the manifest/],
  ['cluster', /'threads' in the manifest/],
  ['inspector', /nothing looks into/],
  ['vm', /import it when you build/],
  ['module', /import it when you build/],
  ['os', /'input' in the manifest/],
] as const) {
  test(`node:${name} is refused with advice, however it is imported`, async () => {
    await assert.rejects(build(`import * as module from 'node:${name}'; export { module };`), {
      ...forbidden,
      message: advice,
    });
    const dynamic = await build(`export const load = () => import('node:${name}');`);
    await assert.rejects(call(dynamic, 'load') as Promise<unknown>, { ...forbidden, message: advice });
    const computed = await build(`export const load = (name: string) => import(name);`);
    await assert.rejects(call(computed, 'load', `node:${name}`) as Promise<unknown>, {
      ...forbidden,
      message: advice,
    });
  });
}

test('what is neither in the image nor of Node is called by its name', () => {
  assert.throws(() => loadProgram(`require('left-pad');`, modules), {
    ...forbidden,
    message:
      "A program in an enclave cannot load 'left-pad': it is not in the image; import it when you build.",
  });
});

test('a dynamic import that no bundler saw has no loader', async () => {
  const program = loadProgram(`exports.load = new Function('name', 'return import(name)');`, modules);
  await assert.rejects(call(program, 'load', 'node:fs') as Promise<unknown>);
});

test('its process is a small frozen object with the declared input for environment', () => {
  const source =
    'exports.own = process; exports.global = globalThis.process; exports.module = require("node:process");';
  const program = loadProgram(source, modules, { MODE: 'test' });
  const seen = program['own'] as typeof process;
  assert.equal(program['global'], seen);
  assert.equal(program['module'], seen);
  assert.deepEqual(seen.env, { MODE: 'test' });
  assert.deepEqual(seen.argv, []);
  for (const value of [seen, seen.env, seen.argv, seen.versions]) assert.ok(Object.isFrozen(value));
  for (const name of [
    'mainModule',
    'stdout',
    'stdin',
    'report',
    'pid',
    'ppid',
    'execPath',
    'memoryUsage',
    'getuid',
  ]) {
    assert.ok(!(name in seen), name);
  }
  assert.equal(seen.cwd(), '/');
  assert.ok(seen.hrtime.bigint() > 0n && seen.uptime() > 0);
});

for (const name of [
  'binding',
  '_linkedBinding',
  'dlopen',
  'kill',
  'abort',
  'exit',
  'reallyExit',
  'chdir',
  'setuid',
]) {
  test(`process.${name} is refused`, () => {
    assert.throws(() => loadProgram(`process.${name}('fs');`, modules), {
      ...forbidden,
      message: new RegExp(`cannot call process\\.${name}: `),
    });
  });
}

for (const source of [
  `fetch('http://127.0.0.1')`,
  `new WebSocket('ws://127.0.0.1')`,
  `globalThis.fetch('http://a')`,
]) {
  test(`${source} is refused`, () => {
    assert.throws(() => loadProgram(source, modules), {
      ...forbidden,
      message: /use 'net' of sgxio\/enclave/,
    });
  });
}

test('code that is no script is refused, and an error of the program is its own', () => {
  assert.throws(() => loadProgram('let = ;', modules), {
    code: 'SGXIO_IMAGE_INVALID',
    message: /is no script/,
  });
  assert.throws(() => loadProgram(`throw new RangeError('mine');`, modules), new RangeError('mine'));
});

let programs = 0;

async function build(source: string): Promise<ProgramExports> {
  const entry = join(folder, `program-${programs++}.ts`);
  writeFileSync(entry, source);
  const { code } = await buildImage(entry, { name: 'program' });
  return loadProgram(new TextDecoder().decode(code), modules);
}

function call(program: ProgramExports, name: string, ...values: unknown[]): unknown {
  return (program[name] as (...values: unknown[]) => unknown)(...values);
}

function isLoaded(load: (name: string) => unknown, name: string): boolean {
  try {
    load(name);
    return true;
  } catch (error) {
    assert.equal((error as { code: string }).code, 'SGXIO_FORBIDDEN_MODULE', name);
    return false;
  }
}
