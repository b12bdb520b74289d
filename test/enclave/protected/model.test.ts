import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { apply, applyAsync, applyToModel, type Change, Model } from './model.ts';
import { BLOCK, createMount, HostFile, openMount, snapshot } from './support.ts';

type Step = Change | { readonly control: 'sync' | 'reopen' | 'crash' };

const path = fc
  .array(fc.constantFrom('a', 'b'), { minLength: 1, maxLength: 2 })
  .map((names) => `/${names.join('/')}`);
const position = fc.oneof(
  fc.nat(3 * BLOCK),
  fc.nat(40).map((block) => block * BLOCK),
  // Around what one index block holds.
  fc.constantFrom(127 * BLOCK, 128 * BLOCK - 1),
);
const length = fc.oneof(fc.nat(200), fc.constantFrom(BLOCK, 2 * BLOCK, 100 * BLOCK));
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constant('write' as const), path, position, seed: fc.nat(), length }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('truncate' as const), path, length: position }) },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constantFrom('mkdir' as const, 'unlink' as const, 'rmdir' as const),
      path,
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('rename' as const), path, to: path }) },
  {
    weight: 4,
    arbitrary: fc.record({ control: fc.constantFrom('sync' as const, 'reopen' as const, 'crash' as const) }),
  },
);
const steps = fc.array(step, { minLength: 1, maxLength: 40 });
const RUNS = { numRuns: 60 };

test('a mount does what a file system in memory does, and a crash brings the last sync back', () => {
  fc.assert(
    fc.property(steps, (all) => {
      let { mount, file } = createMount();
      let model = new Model();
      let synced = model.copy();
      for (const one of all) {
        if (!('control' in one)) {
          assert.equal(apply(mount, one), applyToModel(model, one));
        } else if (one.control === 'sync') {
          mount.sync();
          synced = model.copy();
        } else if (one.control === 'reopen') {
          mount.close();
          mount = openMount(file);
          synced = model.copy();
        } else {
          mount.abandon();
          file = new HostFile(file.content);
          mount = openMount(file);
          model = synced.copy();
        }
      }
      assert.deepEqual(snapshot(mount), model.snapshot());
    }),
    RUNS,
  );
});

test('asynchronous calls do the same', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (all) => {
      let { mount, file } = createMount();
      let model = new Model();
      let synced = model.copy();
      for (const one of all) {
        if (!('control' in one)) {
          assert.equal(await applyAsync(mount, one), applyToModel(model, one));
        } else if (one.control === 'sync') {
          await mount.syncAsync();
          synced = model.copy();
        } else if (one.control === 'reopen') {
          mount.close();
          mount = openMount(file);
          synced = model.copy();
        } else {
          mount.abandon();
          file = new HostFile(file.content);
          mount = openMount(file);
          model = synced.copy();
        }
      }
      assert.deepEqual(snapshot(mount), model.snapshot());
    }),
    RUNS,
  );
});

test('tasks that change files of their own at once, with syncs in between, do not disturb each other', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(steps, { minLength: 2, maxLength: 4 }), async (tasks) => {
      const { mount, file } = createMount();
      const models = await Promise.all(
        tasks.map(async (all, index) => {
          const model = new Model(new Map([['', null]]));
          const own = `/task${index}`;
          mount.mkdir(own);
          model.mkdir(own);
          for (const one of all) {
            if ('control' in one) {
              if (one.control === 'crash') mount.sync();
              else await mount.syncAsync();
              continue;
            }
            const moved =
              one.kind === 'rename'
                ? { ...one, path: own + one.path, to: own + one.to }
                : { ...one, path: own + one.path };
            assert.equal(await applyAsync(mount, moved), applyToModel(model, moved));
          }
          return model;
        }),
      );
      await mount.syncAsync();
      const all = models.flatMap((model) => [...model.snapshot()]);
      const expected = new Map(all.sort(([left], [right]) => (left < right ? -1 : 1)));
      assert.deepEqual(snapshot(mount), expected);
      assert.deepEqual(snapshot(openMount(new HostFile(file.content))), expected);
    }),
    RUNS,
  );
});
