import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { connect, createServer, type Socket } from 'node:net';
import process from 'node:process';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  ClientAgreement,
  SERVER_HELLO_BYTES,
  VERIFICATION_BYTES,
} from '../../../apps/parameter-server/agreement.ts';
import { NodeCipher } from '../../../apps/parameter-server/cipher.ts';
import {
  FrameWriter,
  ITEM_BYTES,
  Kind,
  MAXIMUM_FRAME_BYTES,
} from '../../../apps/parameter-server/protocol.ts';
import { ChainingTable, OpenAddressingTable, type Table } from '../../../apps/parameter-server/table.ts';
import { startReferenceServer } from './reference-server.ts';

const CLIENT: string = fileURLToPath(
  new URL('../../../apps/parameter-server/client-main.js', import.meta.url),
);
const VERIFICATION: Uint8Array<ArrayBuffer> = new Uint8Array(VERIFICATION_BYTES).fill(0x5a);
const REGION_BYTES: number = 1 << 18;

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function runProgram(port: number, ...options: string[]): Promise<Outcome> {
  return runWith('5a'.repeat(VERIFICATION_BYTES), '--port', String(port), ...options);
}

function runWith(verification: string, ...options: string[]): Promise<Outcome> {
  const env = { ...process.env, PARAMETER_SERVER_VERIFICATION: verification };
  return new Promise((resolve) => {
    execFile(process.execPath, [CLIENT, ...options], { env }, (error, stdout, stderr) => {
      resolve({
        code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1,
        stdout,
        stderr,
      });
    });
  });
}

function createTable(bytes: number = REGION_BYTES): Table {
  return new OpenAddressingTable(new ArrayBuffer(bytes), 0, bytes);
}

function assertFailsWith(outcome: Outcome, message: RegExp): void {
  assert.equal(outcome.code, 1, outcome.stderr);
  assert.equal(outcome.stdout, '');
  assert.match(outcome.stderr, message);
  assert.equal(outcome.stderr.trim().split('\n').length, 1, outcome.stderr);
}

/** A table that does something else than asked with its fifth update. */
class FaultyTable extends OpenAddressingTable {
  readonly #times: number;
  #updates = 0;

  constructor(times: number) {
    super(new ArrayBuffer(REGION_BYTES), 0, REGION_BYTES);
    this.#times = times;
  }

  override add(keyLow: number, keyHigh: number, deltaLow: number, deltaHigh: number): void {
    this.#updates += 1;
    const times = this.#updates === 5 ? this.#times : 1;
    for (let time = 0; time < times; time += 1) super.add(keyLow, keyHigh, deltaLow, deltaHigh);
  }
}

describe('the client program', () => {
  for (const layout of [OpenAddressingTable, ChainingTable]) {
    test(`finds every update applied exactly once (${layout.name})`, async () => {
      const table = new layout(new ArrayBuffer(REGION_BYTES), 0, REGION_BYTES);
      await using server = await startReferenceServer(table, VERIFICATION);
      const options = [
        '--requests',
        '700',
        '--items',
        '1,7,64',
        '--keys',
        '3000',
        '--connections',
        '3',
        '--json',
      ];
      const outcome = await runProgram(server.port, ...options);
      assert.equal(outcome.code, 0, outcome.stderr);
      const { verified, checksum, rows } = JSON.parse(outcome.stdout);
      assert.equal(verified, true);
      assert.equal(checksum, table.checksum().toString());
      assert.equal(table.size, 3000);
      assert.deepEqual(
        rows.map((row: { items: number; requests: number }) => [row.items, row.requests]),
        [
          [1, 700],
          [7, 700],
          [64, 700],
        ],
      );
      for (const { requests_per_second: rate, latency_us: latency } of rows) {
        assert.ok(rate > 0 && latency.p50 > 0 && latency.p50 <= latency.p99 && latency.p99 <= latency.max);
      }
    });
  }

  test('makes the same updates from the same seed, and others from another', async () => {
    const checksums: string[] = [];
    for (const seed of ['1', '1', '2']) {
      await using server = await startReferenceServer(createTable(), VERIFICATION);
      const outcome = await runProgram(server.port, '--requests', '50', '--seed', seed, '--json');
      checksums.push(JSON.parse(outcome.stdout).checksum);
    }
    assert.equal(checksums[0], checksums[1]);
    assert.notEqual(checksums[0], checksums[2]);
  });

  for (const [name, times] of [
    ['lost', 0],
    ['repeated', 2],
  ] as const) {
    test(`fails when one update was ${name}`, async () => {
      await using server = await startReferenceServer(new FaultyTable(times), VERIFICATION);
      assertFailsWith(await runProgram(server.port, '--requests', '100'), /updates were lost or repeated/);
    });
  }

  test('fails when the model does not fit', async () => {
    await using server = await startReferenceServer(createTable(4096), VERIFICATION);
    assertFailsWith(await runProgram(server.port, '--keys', '5000'), /table is full/);
  });

  test('fails when the server has another verification value', async () => {
    await using server = await startReferenceServer(createTable(), VERIFICATION);
    const outcome = await runWith('00'.repeat(VERIFICATION_BYTES), '--port', String(server.port));
    assertFailsWith(outcome, /verification value/);
  });

  test('fails when nobody listens, and when the server goes away', async () => {
    const closing = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => closing.listen(0, '127.0.0.1', resolve));
    const { port } = closing.address() as { port: number };
    assertFailsWith(await runProgram(port), /closed the connection|ECONNRESET/);
    await new Promise((resolve) => closing.close(resolve));
    assertFailsWith(await runProgram(port), /ECONNREFUSED/);
  });

  test('says in one line what is wrong with its options', async () => {
    assertFailsWith(await runProgram(1, '--items', '0'), /items of a request must be 1 to 1024/);
    assertFailsWith(await runProgram(1, '--items', 'many'), /--items takes a whole number/);
    assertFailsWith(await runProgram(1, '--window', '0'), /window must be 1 to/);
    assertFailsWith(await runProgram(70_000), /--port must be/);
    assertFailsWith(await runProgram(1, '--colour'), /--colour/);
    assertFailsWith(await runWith('', '--port', '1'), /PARAMETER_SERVER_VERIFICATION/);
  });

  test('stops the server when told to', async () => {
    await using server = await startReferenceServer(createTable(), VERIFICATION);
    const outcome = await runProgram(server.port, '--requests', '10', '--stop');
    assert.equal(outcome.code, 0, outcome.stderr);
    assert.match(outcome.stdout, /verified: every update was applied exactly once/);
    await server.stopped;
  });
});

/** A client that does what it likes. */
class HostileClient implements Disposable {
  readonly socket: Socket;
  readonly closed: Promise<void>;

  constructor(port: number) {
    this.socket = connect({ host: '127.0.0.1', port });
    this.socket.on('error', () => this.socket.destroy());
    this.closed = new Promise((resolve) => this.socket.once('close', () => resolve()));
  }

  /** Agrees on a key and returns a writer of frames under it. */
  async agree(): Promise<{ cipher: NodeCipher; writer: FrameWriter }> {
    const agreement = new ClientAgreement();
    this.socket.write(agreement.hello);
    const hello = await this.receive(SERVER_HELLO_BYTES);
    const cipher = new NodeCipher(agreement.finish(hello, VERIFICATION));
    return { cipher, writer: new FrameWriter(new Uint8Array(4 * MAXIMUM_FRAME_BYTES)) };
  }

  async receive(bytes: number): Promise<Buffer> {
    for (;;) {
      const chunk: Buffer | null = this.socket.read(bytes);
      if (chunk !== null) return chunk;
      await new Promise((resolve) => this.socket.once('readable', resolve));
    }
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

/** Sends an update of one item whose key no honest client uses, and returns the bytes of its frame. */
function sealUpdate(cipher: NodeCipher, writer: FrameWriter): Uint8Array {
  writer.bytes.fill(0xee, writer.body, writer.body + ITEM_BYTES);
  const from = writer.end;
  writer.seal(cipher, Kind.update, ITEM_BYTES);
  return writer.bytes.slice(from, writer.end);
}

describe('a server under attack', () => {
  const attacks: Record<string, (client: HostileClient) => Promise<void>> = {
    'garbage in place of a hello': async ({ socket }) => {
      socket.write(new Uint8Array(200).fill(0x47));
    },
    'garbage in place of a frame': async (client) => {
      await client.agree();
      client.socket.write(new Uint8Array(200).fill(0x47));
    },
    'an oversized frame': async (client) => {
      await client.agree();
      client.socket.write(new Uint8Array(new Uint32Array([0x7fff_ffff, Kind.update, 0, 0]).buffer));
    },
    'a frame under another key': async (client) => {
      const { writer } = await client.agree();
      client.socket.write(sealUpdate(new NodeCipher(new Uint8Array(16)), writer));
    },
    'a frame that was recorded on another connection': async (client) => {
      using other = new HostileClient(client.socket.remotePort!);
      const { cipher, writer } = await other.agree();
      const recorded = sealUpdate(cipher, writer);
      await client.agree();
      client.socket.write(recorded);
    },
  };

  for (const [name, attack] of Object.entries(attacks)) {
    test(`closes on ${name}, applies nothing of it, and serves the others`, async () => {
      const table = createTable();
      await using server = await startReferenceServer(table, VERIFICATION);
      const honest = runProgram(server.port, '--requests', '3000', '--items', '4');
      using client = new HostileClient(server.port);
      await new Promise((resolve) => client.socket.once('connect', resolve));
      await attack(client);
      client.socket.resume();
      await client.closed;
      const outcome = await honest;
      assert.equal(outcome.code, 0, outcome.stderr);
    });
  }

  test('applies a frame once when it is replayed, and closes', async () => {
    const table = createTable();
    await using server = await startReferenceServer(table, VERIFICATION);
    using client = new HostileClient(server.port);
    const { cipher, writer } = await client.agree();
    const frame = sealUpdate(cipher, writer);
    client.socket.write(frame);
    client.socket.write(frame);
    client.socket.resume();
    await client.closed;
    const value = new Uint32Array(2);
    assert.ok(table.get(0xeeee_eeee, 0xeeee_eeee, value));
    assert.deepEqual([...value], [0xeeee_eeee, 0xeeee_eeee]);
  });

  test('applies nothing of half a frame when its client vanishes, and serves the others', async () => {
    const table = createTable();
    await using server = await startReferenceServer(table, VERIFICATION);
    for (const vanish of ['end', 'resetAndDestroy'] as const) {
      using client = new HostileClient(server.port);
      const { cipher, writer } = await client.agree();
      const frame = sealUpdate(cipher, writer);
      await new Promise((resolve) => client.socket.write(frame.subarray(0, frame.length - 1), resolve));
      client.socket[vanish]();
      client.socket.resume();
      await client.closed;
    }
    const outcome = await runProgram(server.port, '--requests', '300');
    assert.equal(outcome.code, 0, outcome.stderr);
  });
});
