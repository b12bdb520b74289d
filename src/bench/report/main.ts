/**
 * `npm run report`: measures all, and writes out/report.html, out/report.json and BENCHMARKS.md. With `--quick` in
 * a minute or two, and BENCHMARKS.md into out/ as well: such figures are not for quoting. With `--from` it draws
 * again what an earlier run measured.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { SgxioError } from '../../errors.ts';
import { Progress } from '../progress.ts';
import { parseReport, type ReportData } from './data.ts';
import { judgeGoals } from './goals.ts';
import { renderMarkdown } from './markdown.ts';
import { measureAll, measureSteps } from './measure.ts';
import { renderPage } from './page.ts';

const FOLDER = 'out';
const MISTAKE = 2;
const root = process.cwd();

try {
  const { values } = parseArgs({ options: { quick: { type: 'boolean' }, from: { type: 'string' } } });
  await write(values.from === undefined ? await measure(values.quick === true) : await read(values.from));
} catch (error) {
  if (!isMistake(error)) throw error;
  console.error(`report: ${error.message}`);
  process.exitCode = MISTAKE;
}

async function measure(quick: boolean): Promise<ReportData> {
  const size = quick ? 'quick' : 'full';
  const progress = new Progress(process.stderr, measureSteps(size, root));
  const data = await measureAll({ size, root, onProgress: (what) => progress.step(what) });
  progress.end();
  return data;
}

async function read(path: string): Promise<ReportData> {
  return parseReport(await readFile(path, 'utf8'));
}

async function write(data: ReportData): Promise<void> {
  await mkdir(FOLDER, { recursive: true });
  // First, so that what was measured is kept even when it cannot be drawn.
  await writeFile(join(FOLDER, 'report.json'), `${JSON.stringify(data, null, 1)}\n`);
  const markdown = data.size === 'full' ? 'BENCHMARKS.md' : join(FOLDER, 'BENCHMARKS.md');
  await writeFile(join(FOLDER, 'report.html'), await renderPage(data));
  await writeFile(markdown, renderMarkdown(data));
  const goals = judgeGoals(data);
  const met = goals.filter(({ verdict }) => verdict === 'met').length;
  console.log(
    `${met} of ${goals.length} goals met; ${data.suites.length} suites and ${data.peers.length} comparisons in ${Math.round(data.seconds)} s`,
  );
  console.log(`The page: ${join(FOLDER, 'report.html')}; the tables: ${markdown}`);
}

/** What the user can put right: an unknown option, no such file, or one that holds something else. */
function isMistake(error: unknown): error is Error {
  const { code } = error as NodeJS.ErrnoException;
  return error instanceof SgxioError || code === 'ENOENT' || (code ?? '').startsWith('ERR_PARSE_ARGS');
}
