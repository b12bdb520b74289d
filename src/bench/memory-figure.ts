import type { TopLevelSpec } from 'vega-lite';
import type { ParameterServerResult } from './parameter-server.ts';
import { type FigureWords, parameterServerFigure, type SlowdownSeries } from './parameter-server-figure.ts';
import { describeMachine } from './parameter-server-series.ts';

/** Models of the figure, in MiB, as in the published one. */
export const FIGURE_MODELS_MIB: readonly number[] = [2, 64, 512];

/**
 * The published experiment: Orenbach, Lifshits, Minkin and Silberstein, "Eleos: ExitLess OS Services for SGX Enclaves"
 * (EuroSys 2017), read off figure 1, on an i7-6700 with some 90 MB of usable private memory.
 */
const PUBLISHED: readonly SlowdownSeries[] = [
  publish('SGX: exits, hardware paging', [9.09, 11.88, 33.57]),
  publish('Eleos: exit-less, SUVM', [1.56, 3.38, 6.63]),
];

const WORDS: FigureWords = {
  title: 'A model larger than private memory',
  axis: 'Size of the model, MiB',
  published: 'Published: Eleos 2017, fig. 1',
};

/** The curves: what one update in a model of each size took, against `direct` with the same model. */
export function memorySeries(results: readonly ParameterServerResult[]): SlowdownSeries[] {
  const measured = ['exitless', 'exit', 'direct'].map((strategy): SlowdownSeries => {
    const points = results.flatMap(({ modelMib, rows }) =>
      rows
        .filter((row) => row['strategy'] === strategy)
        .map((row) => ({ items: modelMib, slowdown: Number(row['slowdown']) })),
    );
    return { name: strategy, origin: 'measured', points };
  });
  return [...measured, ...PUBLISHED];
}

export function memoryFigure(series: readonly SlowdownSeries[]): TopLevelSpec {
  const what = 'One update per request, AES-GCM, played from memory; at most 64 MiB of private memory';
  return parameterServerFigure(series, [what, describeMachine()], WORDS);
}

function publish(name: string, slowdowns: readonly number[]): SlowdownSeries {
  const points = slowdowns.map((slowdown, index) => ({ items: FIGURE_MODELS_MIB[index]!, slowdown }));
  return { name, origin: 'published', points };
}
