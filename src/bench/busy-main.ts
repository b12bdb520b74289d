import process from 'node:process';

/** Keeps one core busy for as long as whoever started it lives. */
const TURN_MILLISECONDS = 50;

process.on('disconnect', () => process.exit());
process.send?.('busy');
const turn = (): void => {
  for (const until = performance.now() + TURN_MILLISECONDS; performance.now() < until; );
  setImmediate(turn);
};
turn();
