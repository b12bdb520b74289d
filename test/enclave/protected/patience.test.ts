import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StartedRead } from '../../../src/enclave/protected/block-file.ts';
import { AbortError, TimeoutError } from '../../../src/errors.ts';
import { BLOCK, createMount, HostFile, openMount, pattern, writeFile } from './support.ts';

const BLOCKS = 100;

/** A host that keeps what it was asked for until it is told to go on. */
class Stalling extends HostFile {
  #goOn: () => void = () => {};
  #stalled: Promise<void> | undefined;

  stall(): void {
    this.#stalled = new Promise((resolve) => {
      this.#goOn = resolve;
    });
  }

  goOn(): void {
    this.#goOn();
    this.#stalled = undefined;
  }

  override startRead(position: number, length: number): StartedRead {
    const read = super.startRead(position, length);
    const stalled = this.#stalled;
    const { finish, drop } = read;
    const arrived = async (): Promise<void> => {
      await stalled;
      await read.arrived();
    };
    return {
      finish,
      drop,
      arrived,
      get isDone() {
        return read.isDone;
      },
    };
  }

  override async syncAsync(): Promise<void> {
    await this.#stalled;
    await super.syncAsync();
  }
}

function stallingMount(): { file: Stalling; mount: ReturnType<typeof openMount> } {
  const { mount, file } = createMount();
  writeFile(mount, '/a', pattern(1, BLOCKS * BLOCK));
  mount.close();
  const stalling = new Stalling(file.content.slice());
  return { file: stalling, mount: openMount(stalling) };
}

test('an asynchronous read ends when its time is over or its signal is given, though the store says nothing', async () => {
  const { file, mount } = stallingMount();
  using open = mount.open('/a');
  const bytes = new Uint8Array(BLOCK);
  file.stall();
  await assert.rejects(open.readAsync(bytes, { position: 0, timeout: 5 }), TimeoutError);
  const controller = new AbortController();
  const aborted = open.readAsync(bytes, { position: 0, signal: controller.signal });
  controller.abort('enough');
  await assert.rejects(aborted, (error) => error instanceof AbortError && error.cause === 'enough');
  await assert.rejects(open.readAsync(bytes, { position: 0, signal: controller.signal }), AbortError);
  const patient = open.readAsync(bytes, { position: 0, timeout: 60_000 });
  file.goOn();
  assert.equal(await patient, BLOCK);
  assert.deepEqual(bytes, pattern(1, BLOCK));
});

test('a time is that of the whole call', async () => {
  const { file, mount } = stallingMount();
  using open = mount.open('/a');
  const whole = new Uint8Array(BLOCKS * BLOCK);
  const started = performance.now();
  file.stall();
  const late = open.readAsync(whole, { position: 0, timeout: 40 });
  const again = setInterval(() => {
    file.goOn();
    file.stall();
  }, 15);
  await assert.rejects(late, TimeoutError);
  clearInterval(again);
  file.goOn();
  assert.ok(performance.now() - started >= 40);
  assert.equal(await open.readAsync(whole, { position: 0 }), whole.length);
  assert.deepEqual(whole, pattern(1, BLOCKS * BLOCK));
});

test('an asynchronous sync that is late goes on all the same', async () => {
  const { file, mount } = stallingMount();
  using open = mount.open('/a', 'r+');
  open.write(pattern(2, BLOCK), { position: 0 });
  file.stall();
  await assert.rejects(open.syncAsync({ timeout: 5 }), TimeoutError);
  file.goOn();
  await open.syncAsync({ timeout: 60_000 });
  using again = openMount(file.copy()).open('/a');
  const bytes = new Uint8Array(BLOCK);
  again.read(bytes);
  assert.deepEqual(bytes, pattern(2, BLOCK));
});
