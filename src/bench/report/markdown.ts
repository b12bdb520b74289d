import { machineLine } from '../machine.ts';
import { type RowTable, tableOf } from '../row-table.ts';
import { type ReportData, rowsOf } from './data.ts';
import { judgeGoals } from './goals.ts';
import { INSTALL_PEERS, noticesOf } from './page.ts';
import { sectionsOf } from './sections.ts';

/** The tables of the report as Markdown, for a repository. */
export function renderMarkdown(data: ReportData): string {
  const goals = judgeGoals(data);
  const explained = goals.filter(({ explanation }) => explanation !== '');
  const blocks = [
    '# Benchmarks',
    `Made by \`npm run report\` on ${data.day}: ${machineLine(data.machine)}. The page with the figures is out/report.html. What is compared took turns in one run; figures are medians over rounds after a warm-up; nothing was pinned to a core.`,
    ...noticesOf(data).map((notice) => `> ${notice}`),
    '## Goals',
    markdownTable({
      columns: ['figure', 'set against', 'goal', 'measured', ''].map((title) => ({ title, align: 'left' })),
      cells: goals.map(({ figure, anchor, goal, measured, verdict }) => [
        figure,
        anchor,
        goal,
        measured,
        verdict,
      ]),
    }),
    ...explained.map(
      ({ figure, goal, verdict, explanation }) => `**${figure}, ${goal}: ${verdict}.** ${explanation}`,
    ),
    ...sectionsOf(data).flatMap(({ suite, title, method, command }) => [
      `## ${title}`,
      method,
      markdownTable(tableOf(rowsOf(data, suite))),
      ...(command === undefined ? [] : [`This alone: \`${command}\``]),
    ]),
    '## Beside its peers',
    ...(data.peers.length === 0
      ? [`Not measured: the peers are a package of their own. \`${INSTALL_PEERS}\``]
      : data.peers.flatMap(({ question, rows, verdict }) => [
          `### ${question}`,
          markdownTable(tableOf(rows)),
          `${verdict}.`,
        ])),
    ...data.skipped.map((line) => `Not measured: ${line}.`),
  ];
  return `${blocks.join('\n\n')}\n`;
}

function markdownTable({ columns, cells }: RowTable): string {
  const line = (texts: readonly string[]): string =>
    `| ${texts.map((text) => text.replaceAll('|', '\\|')).join(' | ')} |`;
  return [
    line(columns.map(({ title }) => title)),
    line(columns.map(({ align }) => (align === 'right' ? '---:' : '---'))),
    ...cells.map(line),
  ].join('\n');
}
