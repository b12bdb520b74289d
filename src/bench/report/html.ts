/** Markup of the page, as strings; every text that is not ours passes {@link escapeHtml}. */

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"]/g, (character) => ENTITIES[character]!);
}

export interface TableText {
  readonly columns: readonly { readonly title: string; readonly align: 'left' | 'right' }[];
  readonly cells: readonly (readonly string[])[];
}

/** A table that scrolls where it is wider than the page. */
export function tableHtml({ columns, cells }: TableText): string {
  const classes = columns.map(({ align }) => (align === 'right' ? ' class="number"' : ''));
  const head = columns.map(({ title }, index) => `<th${classes[index]}>${escapeHtml(title)}</th>`).join('');
  const body = cells
    .map(
      (row) =>
        `<tr>${row.map((cell, index) => `<td${classes[index]}>${escapeHtml(cell)}</td>`).join('')}</tr>`,
    )
    .join('\n');
  return `<div class="scroll" tabindex="0"><table><thead><tr>${head}</tr></thead><tbody>\n${body}\n</tbody></table></div>`;
}

export function detailsHtml(summary: string, content: string): string {
  return `<details><summary>${escapeHtml(summary)}</summary>${content}</details>`;
}
