import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { describe, test } from 'node:test';
import { Progress, type ProgressStream } from '../../src/bench/progress.ts';
import { formatTable } from '../../src/bench/table.ts';

function capture(terminal: { isTTY?: true; columns?: number }): {
  stream: ProgressStream;
  text: () => string;
} {
  const chunks: string[] = [];
  const write = (chunk: Buffer, _encoding: string, done: () => void): void => {
    chunks.push(chunk.toString());
    done();
  };
  return { stream: Object.assign(new Writable({ write }), terminal), text: () => chunks.join('') };
}

describe('progress', () => {
  test('is a plain line for each step where there is no terminal', () => {
    const { stream, text } = capture({});
    const progress = new Progress(stream, 2);
    progress.step('direct, 1 item');
    progress.step('exitless, 1 item');
    progress.end();
    assert.equal(text(), '1/2 direct, 1 item\n2/2 exitless, 1 item\n');
  });

  test('is one line that is drawn over on a terminal, never wider than it, and gone at the end', () => {
    const { stream, text } = capture({ isTTY: true, columns: 40 });
    const progress = new Progress(stream, 2);
    progress.step('direct');
    progress.step('a step with a name that is longer than the terminal is wide');
    progress.end();
    assert.ok(!text().includes('\n'));
    const lines = text().split('\r\x1b[K');
    assert.deepEqual(lines, [
      '',
      `${'░'.repeat(24)} 1/2 direct`,
      `${'█'.repeat(12)}${'░'.repeat(12)} 2/2 a step wit`.slice(0, 39),
      '',
    ]);
  });
});

test('a table lines its columns up', () => {
  const table = formatTable(
    [
      { title: 'strategy', align: 'left' },
      { title: 'p50', align: 'right' },
      { title: 'source', align: 'left' },
    ],
    [
      ['exit', '12.5 us', 'measured'],
      ['exitless', '1 us', ''],
    ],
  );
  assert.equal(
    table,
    [
      'strategy      p50  source',
      '────────  ───────  ────────',
      'exit      12.5 us  measured',
      'exitless     1 us',
      '',
    ].join('\n'),
  );
});
