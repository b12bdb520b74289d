import { createPublicKey, diffieHellman, generateKeyPairSync } from 'node:crypto';
import { buffers } from '../../src/enclave.ts';
import { bufferKeys } from './keys.ts';
import { COLUMNS, INPUT_BYTES, OUTPUT_BYTES } from './shape.ts';

/**
 * The private side of the pipeline: classifies measurements by their nearest neighbours among measurements that are
 * classified already. Both lie in private memory; whoever runs the host sees neither, and no result.
 */
const NEIGHBOURS = 5;

interface Model {
  readonly rows: Float64Array;
  readonly classes: Uint8Array;
}

let model: Model = { rows: new Float64Array(0), classes: new Uint8Array(0) };

/** Agrees with the owner of the data on keys, and makes the buffers: handles of the inputs, then of the outputs. */
export function begin(ownerKey: Uint8Array): { publicKey: Uint8Array; inputs: number[]; outputs: number[] } {
  const pair = generateKeyPairSync('x25519');
  const owner = createPublicKey({ key: Buffer.from(ownerKey), format: 'der', type: 'spki' });
  const keys = bufferKeys(diffieHellman({ privateKey: pair.privateKey, publicKey: owner }));
  const publicKey = new Uint8Array(pair.publicKey.export({ format: 'der', type: 'spki' }));
  return {
    publicKey,
    inputs: keys.inputs.map((key) => buffers.create({ bytes: INPUT_BYTES, host: 'write', key })),
    outputs: keys.outputs.map((key) => buffers.create({ bytes: OUTPUT_BYTES, host: 'read', key })),
  };
}

/** Takes the classified measurements from an input buffer: in each row the columns, and then the class. */
export function learn(input: number, count: number): void {
  buffers.use(input, (bytes) => {
    const table = new Float64Array(bytes.buffer, bytes.byteOffset, count * (COLUMNS + 1));
    model = { rows: new Float64Array(count * COLUMNS), classes: new Uint8Array(count) };
    for (let row = 0; row < count; row++) {
      const start = row * (COLUMNS + 1);
      model.rows.set(table.subarray(start, start + COLUMNS), row * COLUMNS);
      model.classes[row] = table[start + COLUMNS]!;
    }
  });
}

/** Classifies the rows of an input buffer into an output buffer, a byte for each. */
export function score(input: number, output: number, count: number): void {
  buffers.use(input, (from) =>
    buffers.use(output, (to) => {
      const rows = new Float64Array(from.buffer, from.byteOffset, count * COLUMNS);
      for (let row = 0; row < count; row++) to[row] = classify(rows, row * COLUMNS);
    }),
  );
}

const nearest = new Float64Array(NEIGHBOURS);
const nearestClasses = new Uint8Array(NEIGHBOURS);
const votes = new Uint8Array(256);

function classify(rows: Float64Array, start: number): number {
  nearest.fill(Number.POSITIVE_INFINITY);
  for (let index = 0; index < model.classes.length; index++) {
    let distance = 0;
    for (let column = 0; column < COLUMNS; column++) {
      const difference = rows[start + column]! - model.rows[index * COLUMNS + column]!;
      distance += difference * difference;
    }
    insert(distance, model.classes[index]!);
  }
  return vote();
}

/** Keeps the nearest sorted. */
function insert(distance: number, kind: number): void {
  let place = NEIGHBOURS;
  while (place > 0 && distance < nearest[place - 1]!) place--;
  if (place === NEIGHBOURS) return;
  nearest.copyWithin(place + 1, place, NEIGHBOURS - 1);
  nearestClasses.copyWithin(place + 1, place, NEIGHBOURS - 1);
  nearest[place] = distance;
  nearestClasses[place] = kind;
}

function vote(): number {
  votes.fill(0);
  let winner = nearestClasses[0]!;
  for (const kind of nearestClasses) {
    votes[kind]! += 1;
    if (votes[kind]! > votes[winner]!) winner = kind;
  }
  return winner;
}
