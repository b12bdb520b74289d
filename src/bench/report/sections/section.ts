import type { Axis, Bar, BarGroup, barChart, Curve, Width } from '../charts.ts';
import type { SuiteRows } from '../data.ts';
import { colour } from '../palette.ts';
import { formatNanoseconds } from '../units.ts';

type Spec = ReturnType<typeof barChart>;

/** One drawing, in either width. */
export interface SectionFigure {
  /** Says what is drawn, in a sentence or less. */
  readonly caption: string;
  draw(width: Width): Spec;
}

/** A suite as the page shows it. */
export interface Section {
  readonly suite: string;
  readonly title: string;
  /** What was measured and how. */
  readonly method: string;
  /** Prints the table again, without the report. */
  readonly command?: string;
  readonly figures: readonly SectionFigure[];
}

/** A section before its rows are known. */
export interface SectionPlan extends Omit<Section, 'figures'> {
  figures(rows: SuiteRows): readonly SectionFigure[];
}

/** The colour of each strategy and server, the same in every figure. */
export const COLOURS: Readonly<Record<string, string>> = {
  exitless: colour('blue'),
  'exitless-async': colour('sky'),
  'exitless, tasks': colour('sky'),
  exit: colour('vermilion'),
  direct: colour('ink'),
  'in-place': colour('ink'),
  'ping-pong': colour('green'),
  'hand-over of the bytes alone': colour('green'),
  'node:net': colour('grey'),
  node: colour('grey'),
  'post-message': colour('grey'),
};
export const OTHERS: readonly string[] = [colour('orange'), colour('purple'), colour('green'), colour('sky')];

export function colourOf(name: string, index: number): string {
  return COLOURS[name] ?? OTHERS[index % OTHERS.length]!;
}

export const NANOSECOND_LABEL =
  "datum.value >= 1e6 ? datum.value / 1e6 + ' ms' : datum.value >= 1e3 ? datum.value / 1e3 + ' µs' : datum.value + ' ns'";

export function number(row: SuiteRows[number], field: string): number {
  return Number(row[field]);
}

export function text(row: SuiteRows[number], field: string): string {
  return String(row[field]);
}

export function timeBar(name: string, nanoseconds: number, index: number): Bar {
  return {
    name,
    value: Math.max(nanoseconds, 1),
    text: formatNanoseconds(nanoseconds),
    colour: colourOf(name, index),
  };
}

export function distinct(rows: SuiteRows, field: string): number[] {
  return [...new Set(rows.map((row) => number(row, field)))].sort((left, right) => left - right);
}

export function powersOfTwo(rows: SuiteRows, field: string): number[] {
  const most = Math.max(...distinct(rows, field), 64);
  return Array.from({ length: Math.floor(Math.log2(most)) + 1 }, (_, power) => 2 ** power);
}

export function logAxis(title: string, ticks: readonly number[], label: string): Axis {
  return { title, log: true, ticks, label };
}

export function curvesBy(rows: SuiteRows, name: string, x: string, y: string): Curve[] {
  return [...new Set(rows.map((row) => text(row, name)))].map((curve, index) => ({
    name: curve,
    colour: colourOf(curve, index),
    dashed: curve.startsWith('exit-sgx'),
    points: rows
      .filter((row) => row[name] === curve)
      .map((row) => ({ x: number(row, x), y: number(row, y) })),
  }));
}

/** A bar for each row, in groups of the same name. */
export function groupBy(
  rows: SuiteRows,
  nameOf: (row: SuiteRows[number]) => string,
  barOf: (row: SuiteRows[number], index: number) => Bar,
): BarGroup[] {
  return [...new Set(rows.map(nameOf))].map((name) => ({
    name,
    bars: rows.filter((row) => nameOf(row) === name).map(barOf),
  }));
}
