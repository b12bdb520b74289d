import {
  type Enclave,
  type PrivateBuffer,
  type Stream,
  type StreamEvent,
  sealedLength,
} from '../../src/index.ts';
import type { Owner } from './owner.ts';
import type * as program from './program.ts';
import { COLUMNS, INPUT_BYTES, OUTPUT_BYTES, SLOTS } from './shape.ts';

type Program = typeof program;

/** The host's side: carries sealed batches in and sealed results out, and sees to it that all three steps overlap. */
export class Pipeline {
  readonly #owner: Owner;
  readonly #inputs: readonly PrivateBuffer[];
  readonly #outputs: readonly PrivateBuffer[];
  readonly #copyingIn: Stream<Program>;
  readonly #scoring: Stream<Program>;
  readonly #copyingOut: Stream<Program>;

  private constructor(
    enclave: Enclave<Program>,
    owner: Owner,
    inputs: readonly number[],
    outputs: readonly number[],
  ) {
    this.#owner = owner;
    this.#inputs = inputs.map((handle) => enclave.adoptBuffer(handle, INPUT_BYTES, { sealed: true }));
    this.#outputs = outputs.map((handle) => enclave.adoptBuffer(handle, OUTPUT_BYTES, { sealed: true }));
    this.#copyingIn = enclave.createStream();
    this.#scoring = enclave.createStream();
    this.#copyingOut = enclave.createStream();
  }

  /** `table`: the classified measurements, in each row the columns and then the class. */
  static async create(enclave: Enclave<Program>, owner: Owner, table: Float64Array): Promise<Pipeline> {
    const { publicKey, inputs, outputs } = await enclave.launch('begin', owner.publicKey);
    owner.agree(publicKey);
    const pipeline = new Pipeline(enclave, owner, inputs, outputs);
    const first = pipeline.#inputs[0]!;
    await pipeline.#copyingIn.copyToEnclave(first, owner.seal(0, table));
    await enclave.launch('learn', first.handle, table.length / (COLUMNS + 1));
    return pipeline;
  }

  /** Scores batches of at most BATCH_ROWS rows, and returns the class of each row, batch by batch. */
  async score(batches: readonly Float64Array[]): Promise<Uint8Array[]> {
    const sealed: Uint8Array[] = [];
    const scored: StreamEvent[] = [];
    const emptied: StreamEvent[] = [];
    for (const [index, batch] of batches.entries()) {
      const slot = index % SLOTS;
      const rows = batch.length / COLUMNS;
      const [input, output] = [this.#inputs[slot]!, this.#outputs[slot]!];
      const [scoredBefore, emptiedBefore] = [scored[index - SLOTS], emptied[index - SLOTS]];
      if (scoredBefore !== undefined) this.#copyingIn.wait(scoredBefore);
      this.#copyingIn.copyToEnclave(input, this.#owner.seal(slot, batch));
      this.#scoring.wait(this.#copyingIn.record());
      if (emptiedBefore !== undefined) this.#scoring.wait(emptiedBefore);
      this.#scoring.launch('score', input.handle, output.handle, rows);
      scored.push(this.#scoring.record());
      this.#copyingOut.wait(scored[index]!);
      sealed.push(new Uint8Array(sealedLength(rows)));
      this.#copyingOut.copyFromEnclave(output, sealed[index]!);
      emptied.push(this.#copyingOut.record());
    }
    await this.synchronize();
    return sealed.map((bytes, index) => this.#owner.open(index % SLOTS, bytes));
  }

  /** The same with each step after the other: what the overlap is measured against. */
  async scoreInTurn(batches: readonly Float64Array[]): Promise<Uint8Array[]> {
    const results: Uint8Array[] = [];
    for (const batch of batches) results.push(...(await this.score([batch])));
    return results;
  }

  async synchronize(): Promise<void> {
    await Promise.all(
      [this.#copyingIn, this.#scoring, this.#copyingOut].map((stream) => stream.synchronize()),
    );
  }
}
