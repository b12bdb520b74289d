import type { Config, TopLevelSpec } from 'vega-lite';
import { colour } from './palette.ts';

/** How wide a figure is drawn, in pixels: for a page, and for a phone. */
export const WIDTHS = { wide: 660, narrow: 330 } as const;

export type Width = keyof typeof WIDTHS;

/** One bar with its name above it and its figure, as text, behind it. */
export interface Bar {
  readonly name: string;
  readonly value: number;
  readonly text: string;
  readonly colour: string;
}

const BAR_STEP = 42;
/** Room behind the longest bar for its figure. */
const BAR_TEXT_PIXELS = 84;

/** Bars on a scale from `from` on; on a logarithmic one for figures of several magnitudes. */
export function barChart(bars: readonly Bar[], width: Width, from?: number): TopLevelSpec {
  const most = Math.max(...bars.map(({ value }) => value));
  const scale = {
    ...(from === undefined ? { type: 'linear' as const } : { type: 'log' as const }),
    domain: [from ?? 0, most > 0 ? most : 1],
    range: [0, WIDTHS[width] - BAR_TEXT_PIXELS],
    nice: false,
    clamp: true,
  };
  return {
    data: { values: bars.map((bar) => ({ ...bar, from: from ?? 0 })) },
    width: WIDTHS[width],
    height: { step: BAR_STEP },
    encoding: {
      y: { field: 'name', type: 'nominal', sort: null, axis: null },
      x: { field: 'value', type: 'quantitative', scale, axis: null },
    },
    layer: [
      {
        mark: { type: 'bar', height: 11, yOffset: 9, cornerRadiusEnd: 2 },
        encoding: {
          x2: { datum: from ?? 0 },
          color: { field: 'colour', type: 'nominal', scale: null },
        },
      },
      {
        mark: { type: 'text', align: 'left', dx: 7, dy: 9, baseline: 'middle', fontWeight: 'bold' },
        encoding: { text: { field: 'text' } },
      },
      {
        mark: { type: 'text', align: 'left', dy: -6, baseline: 'middle', color: colour('quiet') },
        encoding: { text: { field: 'name' }, x: { value: 0 } },
      },
    ],
    config: CONFIG,
  };
}

/** Bars that are to be compared with each other, under a common name; each has its own behind it. */
export interface BarGroup {
  readonly name: string;
  readonly bars: readonly Bar[];
}

const GROUP_STEP = 24;
/** What a letter of the text behind a bar takes, and the room around it, in pixels. */
const GROUP_LETTER_PIXELS = 7.8;
const GROUP_TEXT_ROOM_PIXELS = 14;

/** Groups of bars on one linear scale. */
export function groupChart(groups: readonly BarGroup[], width: Width): TopLevelSpec {
  const lines = groups.flatMap(({ name, bars }, group) => [
    { key: `${group}`, heading: name },
    ...bars.map((bar, index) => ({ ...bar, key: `${group} ${index}`, text: groupText(bar) })),
  ]);
  const bars = groups.flatMap((group) => group.bars);
  const longest = Math.max(...bars.map((bar) => groupText(bar).length));
  const room = longest * GROUP_LETTER_PIXELS + GROUP_TEXT_ROOM_PIXELS;
  const most = Math.max(...bars.map(({ value }) => value));
  const scale = {
    domain: [0, most > 0 ? most : 1],
    range: [0, Math.max(1, WIDTHS[width] - room)],
    nice: false,
  };
  const ofBars = [{ filter: "isValid(datum['value'])" }];
  return {
    data: { values: lines },
    width: WIDTHS[width],
    height: lines.length * GROUP_STEP,
    // The drawing thinks letters wider than they are, and would make room for that.
    autosize: { type: 'none' },
    encoding: {
      // Without its places told, each layer would bring its own.
      y: { field: 'key', type: 'nominal', scale: { domain: lines.map(({ key }) => key) }, axis: null },
    },
    layer: [
      {
        transform: ofBars,
        mark: { type: 'bar', height: 13, cornerRadiusEnd: 2 },
        encoding: {
          x: { field: 'value', type: 'quantitative', scale, axis: null },
          color: { field: 'colour', type: 'nominal', scale: null },
        },
      },
      {
        transform: ofBars,
        mark: { type: 'text', align: 'left', dx: 7, baseline: 'middle' },
        encoding: {
          x: { field: 'value', type: 'quantitative', scale, axis: null },
          text: { field: 'text' },
        },
      },
      {
        transform: [{ filter: "isValid(datum['heading'])" }],
        mark: { type: 'text', align: 'left', baseline: 'middle', fontWeight: 'bold', dy: 2 },
        encoding: { x: { value: 0 }, text: { field: 'heading' } },
      },
    ],
    config: CONFIG,
  };
}

function groupText({ text, name }: Bar): string {
  return `${text}  ${name}`;
}

/** One curve of a chart of lines. */
export interface Curve {
  readonly name: string;
  readonly colour: string;
  /** Published or modelled, not measured here. */
  readonly dashed?: boolean;
  readonly points: readonly { readonly x: number; readonly y: number }[];
}

export interface Axis {
  readonly title: string;
  readonly log: boolean;
  /** Where the ticks stand; left out, the drawing finds places. */
  readonly ticks?: readonly number[];
  /** An expression of Vega for the label of a tick; left out, the number. */
  readonly label?: string;
}

const LINE_HEIGHTS = { wide: 320, narrow: 250 } as const;
/** What a letter of a legend and the room around an entry take, in pixels. */
const LEGEND_LETTER_PIXELS = 7.5;
const LEGEND_ENTRY_PIXELS = 48;

/** Curves over a common axis, with a legend below. */
export function lineChart(curves: readonly Curve[], x: Axis, y: Axis, width: Width): TopLevelSpec {
  const values = curves.flatMap(({ name, dashed, points }) =>
    points.map((point) => ({ ...point, name, dashed: dashed === true })),
  );
  const colours = {
    domain: curves.map(({ name }) => name),
    range: curves.map((curve) => curve.colour),
  };
  return {
    data: { values },
    width: WIDTHS[width] - 64,
    height: LINE_HEIGHTS[width],
    encoding: {
      x: { field: 'x', type: 'quantitative', ...encodeAxis(x) },
      y: { field: 'y', type: 'quantitative', ...encodeAxis(y) },
      color: {
        field: 'name',
        type: 'nominal',
        scale: colours,
        legend: { title: null, orient: 'bottom', columns: legendColumns(colours.domain, width) },
      },
    },
    layer: [
      {
        mark: { type: 'line', strokeWidth: 2.2, strokeJoin: 'round' },
        encoding: {
          strokeDash: {
            field: 'dashed',
            type: 'nominal',
            scale: { domain: [false, true], range: [[], [5, 4]] },
            legend: null,
          },
        },
      },
      { mark: { type: 'point', filled: true, size: 34, opacity: 1 } },
    ],
    config: CONFIG,
  };
}

/** As many as fit: a legend that is wider than its figure would make all of it smaller. */
function legendColumns(names: readonly string[], width: Width): number {
  const longest = Math.max(...names.map((name) => name.length));
  const entry = longest * LEGEND_LETTER_PIXELS + LEGEND_ENTRY_PIXELS;
  return Math.max(1, Math.floor(WIDTHS[width] / entry));
}

function encodeAxis({ title, log, ticks, label }: Axis): { scale: object; axis: object } {
  return {
    scale: log ? { type: 'log', nice: false, padding: 12 } : { type: 'linear', zero: true },
    axis: {
      title,
      ...(ticks === undefined ? { tickCount: 5 } : { values: ticks }),
      ...(label === undefined ? { format: ',.6~g' } : { labelExpr: label }),
      labelOverlap: true,
    },
  };
}

const STACK_HEIGHT = 46;

/** Parts of one whole, side by side in their order; the legend says how much each is. */
export function stackChart(parts: readonly Bar[], width: Width): TopLevelSpec {
  const named = parts.map((part, order) => ({ ...part, label: `${part.name}  ${part.text}`, order }));
  const labels = named.map(({ label }) => label);
  return {
    data: { values: named },
    width: WIDTHS[width],
    height: STACK_HEIGHT,
    mark: { type: 'bar', height: STACK_HEIGHT },
    encoding: {
      x: { field: 'value', type: 'quantitative', stack: 'normalize', axis: null },
      order: { field: 'order', type: 'quantitative' },
      color: {
        field: 'label',
        type: 'nominal',
        scale: { domain: labels, range: named.map((part) => part.colour) },
        legend: {
          title: null,
          orient: 'bottom',
          columns: legendColumns(labels, width),
          symbolType: 'square',
        },
      },
    },
    config: CONFIG,
  };
}

const CONFIG: Config = {
  background: 'transparent',
  padding: 2,
  view: { stroke: null },
  text: { fontSize: 13, color: colour('ink') },
  axis: {
    labelFontSize: 12,
    titleFontSize: 12,
    titleFontWeight: 'normal',
    titlePadding: 8,
    labelColor: colour('ink'),
    titleColor: colour('quiet'),
    gridColor: colour('grid'),
    domainColor: colour('axis'),
    tickColor: colour('axis'),
  },
  legend: {
    labelFontSize: 12,
    labelColor: colour('ink'),
    labelLimit: 0,
    symbolSize: 120,
    symbolStrokeWidth: 3,
    rowPadding: 4,
    columnPadding: 22,
    offset: 14,
  },
};
