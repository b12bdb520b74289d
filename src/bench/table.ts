export interface Column {
  readonly title: string;
  /** Numbers belong to the right, words to the left. */
  readonly align: 'left' | 'right';
}

const GAP = '  ';

/** A table in plain text: a header, a rule, and the rows, each column as wide as its widest cell. */
export function formatTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const widths = columns.map(({ title }, index) =>
    Math.max(title.length, ...rows.map((row) => row[index]?.length ?? 0)),
  );
  const formatRow = (cells: readonly string[]): string =>
    columns
      .map(({ align }, index) => {
        const cell = cells[index] ?? '';
        return align === 'right' ? cell.padStart(widths[index]!) : cell.padEnd(widths[index]!);
      })
      .join(GAP)
      .trimEnd();
  const header = formatRow(columns.map(({ title }) => title));
  const rule = widths.map((width) => '─'.repeat(width)).join(GAP);
  return `${[header, rule, ...rows.map(formatRow)].join('\n')}\n`;
}
