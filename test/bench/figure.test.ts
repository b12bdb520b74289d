import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { drawFigure } from '../../src/bench/figure.ts';
import {
  PUBLISHED_SERIES,
  parameterServerFigure,
  type SlowdownSeries,
} from '../../src/bench/parameter-server-figure.ts';

const MEASURED: readonly SlowdownSeries[] = [
  { name: 'exitless', origin: 'measured', points: [1, 8, 64].map((items) => ({ items, slowdown: 1.1 })) },
  { name: 'direct', origin: 'measured', points: [1, 8, 64].map((items) => ({ items, slowdown: 1 })) },
];
const PNG_SIGNATURE = '89504e470d0a1a0a';

function countMatches(text: string, pattern: RegExp): number {
  return [...text.matchAll(pattern)].length;
}

test('the figure shows every curve and every point, and says where each curve comes from', async () => {
  const { svg, png } = await drawFigure(
    parameterServerFigure([...MEASURED, ...PUBLISHED_SERIES], ['as run here']),
  );
  for (const text of [
    'exitless',
    'direct',
    'SGX, with exits',
    'Measured here',
    'Published: Eleos 2017, fig. 6a',
  ]) {
    assert.ok(svg.includes(`>${text}<`), `no "${text}" in the figure`);
  }
  assert.ok(svg.includes('as run here'));
  assert.ok(!svg.includes('Modelled'), 'a legend of no curves');
  assert.equal(countMatches(svg, /aria-roledescription="point"/g), 3 + 3 + 7 + 7);
  assert.equal(countMatches(svg, /aria-roledescription="line mark"/g), 4);
  assert.ok(!svg.includes('NaN'));
  assert.equal(Buffer.from(png.subarray(0, 8)).toString('hex'), PNG_SIGNATURE);
  const width = Number(/<svg[^>]* width="(\d+)"/.exec(svg)?.[1]);
  assert.equal(new DataView(png.buffer, png.byteOffset).getUint32(16), 2 * width);
});

test('text is drawn from the fonts that come with it', async () => {
  const [first, second] = await Promise.all(
    ['one', 'two'].map((subtitle) => drawFigure(parameterServerFigure(MEASURED, [subtitle]))),
  );
  assert.notDeepEqual(first!.png, second!.png);
});

test('without the packages that draw, one line says what to install', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'sgxio-figure-'));
  try {
    const compiled = (file: string) => fileURLToPath(new URL(`../../src/${file}`, import.meta.url));
    await writeFile(join(directory, 'package.json'), '{"type":"module"}');
    await cp(compiled('bench/figure.js'), join(directory, 'bench/figure.js'));
    await cp(compiled('errors.js'), join(directory, 'errors.js'));
    const script = `import { drawFigure } from './bench/figure.js';
      await drawFigure({}).catch((error) => console.log(error.name + ' ' + error.message));`;
    await writeFile(join(directory, 'main.js'), script);
    const { stdout } = await promisify(execFile)(process.execPath, [join(directory, 'main.js')]);
    assert.match(stdout, /^MachineError to draw a figure, run: npm install --save-dev vega@\S+ .*\n$/);
  } finally {
    await rm(directory, { recursive: true });
  }
});
