/** What every suite returns: rows for machines, units in the names of the figures. */
export type Row = Readonly<Record<string, number | string | boolean | Readonly<Record<string, number>>>>;

export interface SuiteResult {
  readonly suite: string;
  readonly rows: readonly Row[];
}

/** Told what runs now. */
export type OnProgress = (what: string) => void;

/** A figure to so many decimal places. */
export function rounded(value: number, places = 0): number {
  const scale = 10 ** places;
  return Math.round(value * scale) / scale;
}
