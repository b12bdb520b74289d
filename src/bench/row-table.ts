import type { Row } from './suite.ts';

/** Rows as text: one column for each figure that any row has. */
export interface RowTable {
  readonly columns: readonly { readonly title: string; readonly align: 'left' | 'right' }[];
  readonly cells: readonly (readonly string[])[];
}

/** Figures within figures get a column each; numbers stand to the right. */
export function tableOf(rows: readonly Row[]): RowTable {
  const flat = rows.map((row) => Object.entries(row).flatMap(([key, value]) => flatten(key, value)));
  const names = [...new Set(flat.flatMap((row) => row.map(([name]) => name)))];
  const columns = names.map((name): RowTable['columns'][number] => ({
    title: name.replaceAll('_', ' '),
    align: flat.some((row) => row.some(([key, value]) => key === name && typeof value === 'string'))
      ? 'left'
      : 'right',
  }));
  const cells = flat.map((row) => {
    const values = new Map(row);
    return names.map((name) => String(values.get(name) ?? ''));
  });
  return { columns, cells };
}

function flatten(key: string, value: Row[string]): [string, number | string | boolean][] {
  if (typeof value !== 'object') return [[key, value]];
  return Object.entries(value).map(([inner, figure]) => [`${inner} ${key}`, figure]);
}
