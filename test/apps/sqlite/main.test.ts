import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { temporaryDirectory } from '../../support/service-enclaves.ts';

const MAIN = join(import.meta.dirname, '../../../apps/sqlite/main.js');

function run(...given: string[]): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...given], { encoding: 'utf8' });
  return { status, stdout, stderr };
}

test('the ledger goes on where it ended, on plain files too', (t) => {
  const folder = temporaryDirectory(t);
  for (const all of [30, 60]) {
    const { status, stdout, stderr } = run(folder, '--transfers', '30', '--strategy', 'direct');
    assert.deepEqual({ status, stderr }, { status: 0, stderr: '' });
    assert.match(stdout, /^30 transfers booked in \d+ ms, \d+ a second\n/);
    assert.ok(
      stdout.endsWith(`\n${all} transfers in all; integrity ok; the accounts hold 100000, as they must\n`),
    );
  }
});

test('what cannot be done is said in one line', (t) => {
  const folder = temporaryDirectory(t);
  const keyFile = join(folder, 'key');
  writeFileSync(keyFile, '07'.repeat(32));
  for (const [given, message] of [
    [[], 'name one folder; --help says more'],
    [[folder, '--transfers', 'all'], '--transfers takes a whole number, not "all"'],
    [[folder, '--key-file', MAIN], 'holds no key of 64 hexadecimal digits'],
    [
      [folder, '--key-file', keyFile],
      "there is no protected mount at /ledger: create one with 'sgxio files init'",
    ],
  ] as const) {
    const { status, stdout, stderr } = run(...given);
    assert.deepEqual({ status, stdout }, { status: 1, stdout: '' });
    assert.match(stderr, /^sqlite: [^\n]+\n$/);
    assert.ok(stderr.includes(message), stderr);
  }
});
