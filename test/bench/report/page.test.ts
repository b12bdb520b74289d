import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { type Browser, chromium, type Page } from 'playwright-core';

const CHROMIUM = '/usr/bin/chromium';
const FLAGS = [
  ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
  ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
];
const INSTALL = 'to look at the report in a browser, run: apt-get install chromium';
const SECTIONS = 18;
/** CSS pixels below which text is hard to read. */
const TEXT_PIXELS_MIN = 10;
/** WCAG 2.2, level AA. */
const CONTRAST_MIN = 4.5;

/** What a browser shows of the report. */
interface Seen {
  readonly viewWidth: number;
  readonly contentWidth: number;
  /** Texts that reach beyond the page. */
  readonly beyond: readonly string[];
  readonly sections: number;
  readonly text: string;
  readonly figures: readonly SeenFigure[];
}

interface SeenFigure {
  readonly caption: string;
  /** Drawings of it that show. */
  readonly drawn: number;
  readonly texts: number;
  /** Pairs of texts that lie on each other. */
  readonly overlapping: readonly string[];
  /** Texts that reach beyond the drawing. */
  readonly outside: readonly string[];
  /** The height of its smallest letters, in pixels of the screen. */
  readonly leastPixels: number;
  /** The least contrast between a text and the page. */
  readonly leastContrast: number;
}

const views = [
  { name: 'light', width: 1100, colorScheme: 'light' },
  { name: 'dark', width: 1100, colorScheme: 'dark' },
  { name: 'on a phone', width: 360, colorScheme: 'light' },
  { name: 'on a phone, dark', width: 360, colorScheme: 'dark' },
] as const;

function source(file: string): string {
  return fileURLToPath(new URL(`../../../../test/bench/report/${file}`, import.meta.url));
}

const missing = !existsSync(CHROMIUM) && process.env['CI'] === undefined;

describe('the page of the report', { skip: missing ? INSTALL : false }, () => {
  let folder: string;
  let browser: Browser;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sgxio-report-'));
    const command = fileURLToPath(new URL('../../../src/bench/report/main.js', import.meta.url));
    const results = source('results.json');
    await promisify(execFile)(process.execPath, [command, '--from', results], { cwd: folder });
    browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
  });

  after(async () => {
    await browser?.close();
    await rm(folder, { recursive: true, force: true });
  });

  for (const { name, width, colorScheme } of views) {
    test(`is whole and readable, ${name}`, async () => {
      const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
      try {
        await inspect(page);
      } finally {
        await page.close();
      }
    });
  }

  test('its tables are there as Markdown too', async () => {
    const markdown = await readFile(join(folder, 'out/BENCHMARKS.md'), 'utf8');
    assert.match(markdown, /^# Benchmarks\n/);
    assert.match(markdown, /^> A quick run: too short for figures to be quoted\.$/m);
    assert.match(markdown, /^\| null call, exit-less, synchronous, median \|/m);
    assert.ok(!markdown.includes('undefined') && !markdown.includes('NaN'));
  });

  async function inspect(page: Page): Promise<void> {
    const requests: string[] = [];
    const faults: string[] = [];
    page.on('request', (request) => requests.push(request.url()));
    page.on('pageerror', (error) => faults.push(error.message));
    page.on('console', (message) => faults.push(message.text()));
    const url = pathToFileURL(join(folder, 'out/report.html')).href;
    await page.goto(url);
    const seen = await page.evaluate<Seen>(await readFile(source('look.js'), 'utf8'));
    assert.deepEqual(requests, [url], 'the page needs nothing else');
    assert.deepEqual(faults, []);
    assert.ok(seen.contentWidth <= seen.viewWidth, `${seen.contentWidth} wide in ${seen.viewWidth}`);
    assert.deepEqual(seen.beyond, []);
    assert.equal(seen.sections, SECTIONS + 1);
    assert.ok(seen.figures.length >= SECTIONS);
    for (const { caption, texts, outside, overlapping, leastPixels, leastContrast, drawn } of seen.figures) {
      assert.equal(drawn, 1, `"${caption}" is drawn once`);
      assert.ok(texts >= 3, `"${caption}" has ${texts} texts`);
      assert.deepEqual(outside, [], `texts of "${caption}" are cut off`);
      assert.deepEqual(overlapping, [], `texts of "${caption}" lie on each other`);
      assert.ok(leastPixels >= TEXT_PIXELS_MIN, `text of ${leastPixels} px in "${caption}"`);
      assert.ok(leastContrast >= CONTRAST_MIN, `contrast ${leastContrast} in "${caption}"`);
    }
    assert.ok(!/NaN|undefined|\[object/.test(seen.text), 'every figure has a value');
  }
});
