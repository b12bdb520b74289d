import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import process from 'node:process';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { OtherUse } from '../../src/bench/other-use.ts';

const BUSY = 'const until = Date.now() + 600; while (Date.now() < until);';

test('what a process that this one did not start uses is the use of others', async () => {
  // Its parent ends before it, so that it is nobody's child here.
  const command = `"${process.execPath}" -e "${BUSY}" >/dev/null 2>&1 &`;
  const before = await OtherUse.begin();
  await once(spawn('/bin/sh', ['-c', command]), 'exit');
  await delay(800);
  assert.ok((await before.cores()) > 0.3, 'a stranger that computed');
});
