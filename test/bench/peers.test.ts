import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import process from 'node:process';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Comparison } from '../../src/bench/comparison.ts';

const INSTALL = 'to compare with servers in C, run: apt-get install memcached nginx-light';

function isInstalled(command: string): boolean {
  try {
    execFileSync('/bin/sh', ['-c', `PATH=$PATH:/usr/sbin command -v ${command}`]);
    return true;
  } catch {
    return false;
  }
}

const missing = ['memcached', 'nginx'].some((command) => !isInstalled(command));
const skip = missing && process.env['CI'] === undefined ? INSTALL : false;

async function compare(script: string): Promise<Comparison[]> {
  const path = fileURLToPath(new URL(`../../../benchmarks/${script}.mjs`, import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [path, '--smoke', '--json']);
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Comparison);
}

describe('servers beside servers in C', { skip }, () => {
  for (const { script, peer, comparisons } of [
    { script: 'key-value', peer: 'memcached', comparisons: 3 },
    { script: 'http', peer: 'nginx', comparisons: 2 },
  ]) {
    test(`${peer} answers the same client`, async () => {
      const results = await compare(script);
      assert.equal(results.length, comparisons);
      for (const { rows, verdict } of results) {
        const row = rows.find(({ name }) => name === peer);
        assert.match(row?.version ?? '', /^\d+\.\d+/);
        assert.ok(rows.some(({ side }) => side === 'own'));
        for (const each of rows) assert.ok(each.p50_ns > 0, each.name);
        assert.notEqual(verdict, '');
      }
    });
  }
});
