import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { findViolations } from '../../scripts/rooms.ts';

const forbidden: [file: string, source: string][] = [
  ['src/enclave/calls.ts', `import { serve } from '../host/serve.ts';`],
  ['src/host/serve.ts', `export type { Calls } from '../enclave/calls.ts';`],
  ['src/host/serve.ts', `export * from '../enclave.ts';`],
  ['src/boundary/ring.ts', `const linux = await import('../linux/memory.ts');`],
  ['src/boundary/ring.ts', `import '../image/image.ts';`],
  ['src/linux/memory.ts', `import type { Ring } from '../boundary/ring.ts';`],
  ['src/enclave/calls.ts', `import koffi from 'koffi';`],
  ['src/enclave/calls.ts', `import { buildImage } from '../image/build.ts';`],
  ['src/enclave.ts', `import { Enclave } from './index.ts';`],
  ['src/index.ts', `import { net } from './enclave.ts';`],
  ['src/errors.ts', `import { PAGE_BYTES } from './limits.ts';`],
  ['src/image/image.ts', `import { build } from 'esbuild';`],
  ['src/cli/main.ts', `import '../../apps/echo/server.ts';`],
  ['apps/echo/server.ts', `import { Ring } from '../../src/boundary/ring.ts';`],
  ['apps/echo/server.ts', `import { table } from '../other/table.ts';`],
];

const allowed: [file: string, source: string][] = [
  ['src/enclave/calls.ts', `import '../boundary/ring.ts'; import '../linux/memory.ts'; import './net.ts';`],
  ['src/enclave/calls.ts', `import '../image/image.ts'; import '../enclave.ts'; import '../errors.ts';`],
  ['src/host/serve.ts', `import '../boundary/ring.ts'; import '../image/build.ts';`],
  ['src/linux/ffi.ts', `import koffi from 'koffi'; import '../errors.ts';`],
  ['src/image/build.ts', `import { build } from 'esbuild'; import './image.ts';`],
  ['src/bench/call.ts', `import '../enclave/calls.ts'; import '../host/serve.ts'; import '../index.ts';`],
  [
    'src/cli/main.ts',
    `import { Command } from 'commander'; import '../bench/call.ts'; import '../host/serve.ts';`,
  ],
  ['apps/echo/server.ts', `import '../../src/enclave.ts'; import './protocol/frame.ts';`],
  ['apps/echo/main.ts', `import '../../src/index.ts';`],
];

for (const [file, source] of forbidden) {
  test(`refused: ${file}: ${source}`, () => {
    const found = violationsOf(file, source);
    assert.equal(found.length, 1);
    assert.match(found[0]!, new RegExp(`^${file} imports .*; (it may import only: |only ).*`));
  });
}

for (const [file, source] of allowed) {
  test(`allowed: ${file}: ${source}`, () => assert.deepEqual(violationsOf(file, source), []));
}

test('the source of this package keeps the rule', () => {
  assert.deepEqual(findViolations(join(import.meta.dirname, '../../..')), []);
});

function violationsOf(file: string, source: string): string[] {
  const root = mkdtempSync(join(tmpdir(), 'rooms-'));
  try {
    mkdirSync(join(root, dirname(file)), { recursive: true });
    writeFileSync(join(root, file), source);
    return findViolations(root);
  } finally {
    rmSync(root, { recursive: true });
  }
}
