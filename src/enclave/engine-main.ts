import { exitNow } from '../linux/process.ts';
import { CopyEngine } from './copy-engine.ts';
import { runThread } from './start-thread.ts';

/** The thread of the copy engine. */
runThread(exitNow, ({ boot }, boundary, fail) => {
  const engine = new CopyEngine(boot, boundary, () => exitNow(0), fail);
  return () => engine.serve();
});
