import { createHash } from 'node:crypto';
import { Account } from './account.ts';
import type { Words } from './checksum.ts';
import { KEY_BYTES, NodeCipher } from './cipher.ts';
import { checkModel, OracleError, Replies } from './replies.ts';
import { type SealedRequests, sealRequests, type Work } from './requests.ts';

/** A connection that was prepared in memory: what its client sends, and what the server must answer. */
export interface Trace extends SealedRequests {
  readonly work: Work;
  /** The connection is sealed with this from its first byte: no hello. It comes from the seed, so it hides nothing. */
  readonly key: Uint8Array<ArrayBuffer>;
  /** The checksum of the model after all updates. */
  readonly expected: Words;
}

/** The key that the trace of some work is sealed with. */
export function traceKey({
  requests,
  items,
  seed,
  keys,
}: Work & { readonly keys: number }): Uint8Array<ArrayBuffer> {
  const label = `sgxio parameter server: trace of ${requests} ${items} ${seed} ${keys}`;
  return new Uint8Array(createHash('sha256').update(label).digest().subarray(0, KEY_BYTES));
}

/** Prepares a wire that is played from memory: the same bytes for the same arguments, for an empty model. */
export function prepareTrace(options: Work & { readonly keys: number }): Trace {
  const { requests, items, seed, keys } = options;
  const work = { requests, items, seed };
  const key = traceKey(options);
  const account = new Account(keys);
  const sealed = sealRequests(new NodeCipher(key), work, 0, account);
  return { ...sealed, work, key, expected: account.checksum() };
}

/** Fails unless `bytes` are the answers to every update of the trace and to its checksum request. */
export function verifyTrace(trace: Trace, bytes: Uint8Array): void {
  const replies = new Replies(new NodeCipher(trace.key), trace.work.items);
  replies.receive(bytes);
  if (replies.count !== trace.work.requests || replies.checksum === undefined) {
    const what = `${replies.count} of ${trace.work.requests} updates were answered`;
    throw new OracleError('UPDATES_UNANSWERED', what);
  }
  checkModel(replies.checksum, trace.expected);
}
