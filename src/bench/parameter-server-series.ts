import { cpus, release } from 'node:os';
import process from 'node:process';
import type { ParameterServerResult } from './parameter-server.ts';
import { PUBLISHED_SERIES, type SlowdownSeries } from './parameter-server-figure.ts';
import { contenders } from './strategies.ts';

const MEASURED_ORDER = ['exitless', 'exit', 'direct'];

/** The curves of the figure: what was measured here, what was modelled, and what was published. */
export function parameterServerSeries(result: ParameterServerResult): {
  series: SlowdownSeries[];
  subtitle: string[];
} {
  const curves = contenders.map((contender): SlowdownSeries => {
    const model = contender.model?.split(':')[0];
    const rows = result.rows.filter(
      (row) => row['strategy'] === contender.strategy && row['model'] === contender.model,
    );
    return {
      name: model ?? contender.strategy,
      origin: model === undefined ? 'measured' : 'modelled',
      points: rows.map((row) => ({ items: Number(row['items']), slowdown: Number(row['slowdown']) })),
    };
  });
  const measured = MEASURED_ORDER.flatMap((name) => curves.filter((curve) => curve.name === name));
  const modelled = curves.filter((curve) => curve.origin === 'modelled');
  const wire =
    result.wire === 'tcp' ? 'TCP from another process on the same machine' : 'requests played from memory';
  return {
    series: [...measured, ...modelled, ...PUBLISHED_SERIES],
    subtitle: [`2 MiB model, AES-GCM, ${wire}`, describeMachine()],
  };
}

export function describeMachine(): string {
  return `${cpus().length} × ${cpus()[0]?.model ?? 'unknown processor'}, Linux ${release()}, Node ${process.versions.node}`;
}
