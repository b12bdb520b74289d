/** Answers each new value of the first word with the same in the second. */
import { workerData as word } from 'node:worker_threads';

for (let seen = 0; ; ) {
  Atomics.wait(word, 0, seen);
  seen = Atomics.load(word, 0);
  Atomics.store(word, 1, seen);
  Atomics.notify(word, 1);
}
