import type { CallKindName } from '../../src/boundary/kinds.ts';

/** Kinds that have no lies of their own yet. */
type Untold =
  | 'openDatagram'
  | 'connectDatagram'
  | 'receiveFrom'
  | 'sendTo'
  | 'lookup'
  | 'openStream'
  | 'readStream'
  | 'writeStream';

export type ToldKind = Exclude<CallKindName, Untold>;
