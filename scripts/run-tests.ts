/**
 * Runs the compiled tests with node's own runner and prints its closing summary.
 *
 *   node dist/scripts/run-tests.js                 every test
 *   node dist/scripts/run-tests.js ring linux/     those whose path contains one of the words
 *
 * Tests start real processes that spin, so two files at a time is the most. A file that needs the machine to
 * itself says so in a line of its own, `// Runs alone: <reason>`, and runs after the others.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { PassThrough } from 'node:stream';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

const FILES_AT_ONCE = 2;
/** One file's time. Generous: it only has to end a test that hangs. */
const FILE_TIMEOUT_MILLISECONDS = 300_000;
const TOTALS = /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) ([\d.]+)$/;

const root = join(import.meta.dirname, '../test');
const words = process.argv.slice(2);
const files = testFiles();
if (files.length === 0) {
  console.error(`No test file's path contains ${words.join(' or ')}.`);
  process.exit(2);
}

const events = new PassThrough({ objectMode: true });
const report = events.compose(new spec());
report.pipe(process.stdout);
const totals = new Map<string, number>();
const alone = files.filter((file) => /^\/\/ Runs alone: /m.test(readFileSync(file, 'utf8')));
const together = files.filter((file) => !alone.includes(file));
await runFiles(together, FILES_AT_ONCE);
await runFiles(alone, 1);
for (const [name, value] of totals) {
  events.write({ type: 'test:diagnostic', data: { nesting: 0, message: `${name} ${value}` } });
}
events.end();

function testFiles(): string[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.test.js'))
    .filter((file) => words.length === 0 || words.some((word) => file.includes(word)))
    .sort()
    .map((file) => join(root, file));
}

/** Passes each event on, but keeps the runner's totals back: they are summed over both runs. */
async function runFiles(paths: string[], concurrency: number): Promise<void> {
  if (paths.length === 0) return;
  for await (const event of run({ files: paths, concurrency, timeout: FILE_TIMEOUT_MILLISECONDS })) {
    if (event.type === 'test:fail' && event.data.todo === undefined) process.exitCode = 1;
    const total = event.type === 'test:diagnostic' ? TOTALS.exec(event.data.message) : null;
    if (total === null) events.write(event);
    else totals.set(total[1]!, (totals.get(total[1]!) ?? 0) + Number(total[2]));
  }
}
