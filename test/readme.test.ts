import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { buildImage, Enclave } from '../src/index.ts';

/** What the README shows is run as it is written. */
const root = join(import.meta.dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'sgxio-readme-'));
after(() => rmSync(folder, { recursive: true }));

const readme = readFileSync(join(root, 'README.md'), 'utf8');
const files = [...readme.matchAll(/```(?:ts|js)\n\/\/ (\S+)\n([\s\S]*?)```/g)];
for (const [, name, text] of files) writeFileSync(join(folder, name as string), text as string);
mkdirSync(join(folder, 'node_modules'));
symlinkSync(root, join(folder, 'node_modules/sgxio'));

test('the enclave in twenty lines', async () => {
  assert.deepEqual(
    files.map(([, name]) => name),
    ['counter.ts', 'host.mjs', 'echo.ts'],
  );
  const { stdout } = await promisify(execFile)(process.execPath, ['host.mjs'], { cwd: folder });
  assert.match(
    stdout,
    /^measurement [0-9a-f]{64}\nHello Ada, you are visitor 1; your badge is [0-9a-f]{8}\.\n$/,
  );
});

test('the server', async () => {
  const image = await buildImage(join(folder, 'echo.ts'), {
    name: 'echo',
    grants: { listen: ['tcp:127.0.0.1:*'] },
  });
  await using enclave = await Enclave.create(image);
  const served = enclave.launch('serve');
  const socket = connect(Number(await enclave.launch('port')), '127.0.0.1');
  const closed = once(socket, 'close');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk)).end('exit-less');
  await served;
  await closed;
  assert.equal(Buffer.concat(chunks).toString(), 'exit-less');
});
