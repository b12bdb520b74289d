/** The kinds of calls that have lies of their own so far. */
export type ToldKind =
  | 'nothing'
  | 'cancel'
  | 'clock'
  | 'listen'
  | 'accept'
  | 'connect'
  | 'receive'
  | 'send'
  | 'shutdown'
  | 'close'
  | 'setOption'
  | 'address'
  | 'createPoller'
  | 'watch'
  | 'poll'
  | 'echo';
