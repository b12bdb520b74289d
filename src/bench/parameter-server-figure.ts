import type { Config, TopLevelSpec } from 'vega-lite';

/** Where the numbers of a curve come from; the figure says so. */
export type Origin = 'measured' | 'modelled' | 'published';

type LayeredSpec = Extract<TopLevelSpec, { layer: unknown }>;

/** One curve: how many times longer than `direct` the server took for a request. */
export interface SlowdownSeries {
  readonly name: string;
  readonly origin: Origin;
  readonly points: readonly { readonly items: number; readonly slowdown: number }[];
}

/** What a figure of slowdowns says of itself. */
export interface FigureWords {
  readonly title: string;
  /** What `items` of the points counts. */
  readonly axis: string;
  readonly published: string;
}

const ITEMS_WORDS: FigureWords = {
  title: 'What exits cost an enclave, and what exit-less calls cost',
  axis: 'Items updated per request',
  published: 'Published: Eleos 2017, fig. 6a',
};

/**
 * The published experiment: a 2 MB parameter server on an i7-6700 with SGX, read off figure 6a of Orenbach,
 * Lifshits, Minkin and Silberstein, "Eleos: ExitLess OS Services for SGX Enclaves" (EuroSys 2017).
 */
export const PUBLISHED_SERIES: readonly SlowdownSeries[] = [
  publish('SGX, with exits', [9.12, 8.85, 8.76, 5.91, 3.63, 1.68, 0.99]),
  publish('SGX, exit-less', [1.56, 1.55, 1.63, 1.14, 0.97, 0.97, 0.98]),
];

interface Style {
  readonly title: string;
  /** For the series of this origin in their order: Okabe and Ito's, which the colour-blind tell apart. */
  readonly colours: readonly string[];
  /** Where a curve comes from shows in print too. */
  readonly dash: number[];
  readonly width: number;
  readonly pointSize: number;
}

const STYLES: Readonly<Record<Origin, Style>> = {
  measured: {
    title: 'Measured here',
    colours: ['#0072b2', '#d55e00', '#222222'],
    dash: [],
    width: 2.8,
    pointSize: 70,
  },
  modelled: {
    title: 'Modelled: published exit costs',
    colours: ['#e69f00', '#cc79a7', '#009e73'],
    dash: [8, 4],
    width: 1.8,
    pointSize: 30,
  },
  published: {
    title: 'Published',
    colours: ['#8a8a8a', '#56b4e9'],
    dash: [2, 3],
    width: 2,
    pointSize: 30,
  },
};
/** What is measured here is drawn last, over the others. */
const ORIGINS: readonly Origin[] = ['published', 'modelled', 'measured'];
const INK = '#222222';
const QUIET_INK = '#555555';
const TICKS: readonly number[] = [0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 15, 20, 30, 50, 100];

/**
 * The figure of the project: slowdown against items per request, both on log scales, each curve labelled with
 * where it comes from. Of the curves of one origin the first lies on top: exitless, exit, direct. `subtitle` says
 * in a line or two what was run, and on what.
 */
export function parameterServerFigure(
  series: readonly SlowdownSeries[],
  subtitle: readonly string[],
  words: FigureWords = ITEMS_WORDS,
): LayeredSpec {
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    title: { text: words.title, subtitle: [...subtitle] },
    width: 600,
    height: 400,
    encoding: encodePosition(series, words.axis),
    layer: ORIGINS.filter((origin) => series.some((curve) => curve.origin === origin)).map((origin) =>
      drawOrigin(series, origin, words),
    ),
    resolve: { scale: { color: 'independent' } },
    config: CONFIG,
  };
}

function encodePosition(series: readonly SlowdownSeries[], title: string): object {
  const points = series.flatMap((curve) => curve.points);
  const slowdowns = points.map(({ slowdown }) => slowdown);
  const items = [...new Set(points.map((point) => point.items))].sort((left, right) => left - right);
  const low = Math.min(0.85, Math.min(...slowdowns) / 1.15);
  const high = Math.max(10, ...slowdowns) * 1.2;
  return {
    x: {
      field: 'items',
      type: 'quantitative',
      scale: { type: 'log', base: 2, nice: false, padding: 14 },
      axis: { title, values: items, format: 'd' },
    },
    y: {
      field: 'slowdown',
      type: 'quantitative',
      scale: { type: 'log', domain: [low, high], nice: false },
      axis: {
        title: 'Slowdown, direct = 1 (log scale)',
        values: TICKS.filter((tick) => tick >= low && tick <= high),
        labelExpr: "format(datum.value, '~g') + ' ×'",
      },
    },
  };
}

/** The curves of one origin, with a legend of their own. */
function drawOrigin(
  series: readonly SlowdownSeries[],
  origin: Origin,
  words: FigureWords,
): LayeredSpec['layer'][number] {
  const { colours, dash, width, pointSize, ...style } = STYLES[origin];
  const title = origin === 'published' ? words.published : style.title;
  const curves = series.filter((curve) => curve.origin === origin);
  const domain = curves.map(({ name }) => name);
  const range = domain.map((_, index) => colours[index % colours.length]!);
  const legend = { title, symbolType: 'stroke', symbolDash: dash, symbolStrokeWidth: width };
  return {
    data: { values: curves.flatMap(({ name, points }) => points.map((point) => ({ ...point, name }))) },
    encoding: { color: { field: 'name', type: 'nominal', scale: { domain, range }, legend } },
    layer: [
      { mark: { type: 'line', strokeWidth: width, strokeDash: dash, strokeJoin: 'round' } },
      { mark: { type: 'point', size: pointSize, strokeWidth: width, fill: 'white', opacity: 1 } },
    ],
  };
}

const CONFIG: Config = {
  autosize: 'none',
  /** Room for the axes, the title, and names of some 30 characters in the legend. */
  padding: { left: 104, top: 100, right: 270, bottom: 68 },
  title: {
    anchor: 'start',
    frame: 'group',
    offset: 18,
    fontSize: 17,
    color: INK,
    subtitleFontSize: 12,
    subtitleColor: QUIET_INK,
    subtitleLineHeight: 17,
    subtitlePadding: 8,
  },
  view: { stroke: null },
  axis: {
    labelFontSize: 13,
    titleFontSize: 13,
    titleFontWeight: 'normal',
    labelColor: INK,
    titleColor: INK,
    titlePadding: 12,
    labelPadding: 6,
    gridColor: '#e8e8e8',
    domainColor: '#999999',
    tickColor: '#999999',
  },
  legend: {
    orient: 'right',
    offset: 20,
    titleFontSize: 12,
    titleFontWeight: 'bold',
    titleColor: INK,
    titleLimit: 0,
    titlePadding: 8,
    labelFontSize: 12,
    labelColor: INK,
    labelLimit: 0,
    rowPadding: 4,
    symbolSize: 600,
    padding: 6,
  },
};

function publish(name: string, slowdowns: readonly number[]): SlowdownSeries {
  const points = slowdowns.map((slowdown, power) => ({ items: 2 ** power, slowdown }));
  return { name, origin: 'published', points };
}
