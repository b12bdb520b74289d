import { createRequire } from 'node:module';
import type { TopLevelSpec } from 'vega-lite';
import { MachineError } from '../errors.ts';

export interface Figure {
  readonly svg: string;
  readonly png: Uint8Array;
}

const FONT_FAMILY = 'DejaVu Sans';
/** For who opens the SVG without that font: Verdana is as wide. */
const FONT_FAMILIES = `${FONT_FAMILY}, Verdana, sans-serif`;
const FONT_FILES = ['DejaVuSans.ttf', 'DejaVuSans-Bold.ttf'] as const;
/** Pixels of the PNG for each unit of the figure: sharp on any screen, and in print at half a page's width. */
const PIXEL_SCALE = 2;
const INSTALL =
  'npm install --save-dev vega@6.4.0 vega-lite@6.4.0 @resvg/resvg-js@2.6.2 dejavu-fonts-ttf@2.37.3';

/**
 * Draws a figure without a browser. The fonts are a package, so it looks the same on a machine that has none.
 * What draws is not installed with this package, because only its own benchmarks draw.
 */
export async function drawFigure(spec: TopLevelSpec): Promise<Figure> {
  const { resvg } = await loadRenderers();
  const svg = await drawSvg(spec);
  const image = new resvg.Resvg(svg, {
    background: 'white',
    fitTo: { mode: 'zoom', value: PIXEL_SCALE },
    font: { loadSystemFonts: false, fontFiles: findFonts(), defaultFontFamily: FONT_FAMILY },
  });
  return { svg, png: new Uint8Array(image.render().asPng()) };
}

/** The same without a picture of it. */
export async function drawSvg(spec: TopLevelSpec): Promise<string> {
  const { vega, vegaLite } = await loadRenderers();
  const compiled = vegaLite.compile({ ...spec, config: { ...spec.config, font: FONT_FAMILIES } }).spec;
  const view = new vega.View(vega.parse(compiled), { renderer: 'none' });
  const svg = await view.toSVG();
  view.finalize();
  return svg;
}

interface Renderers {
  readonly vega: typeof import('vega');
  readonly vegaLite: typeof import('vega-lite');
  readonly resvg: typeof import('@resvg/resvg-js');
}

async function loadRenderers(): Promise<Renderers> {
  try {
    const [vega, vegaLite, resvg] = await Promise.all([
      import('vega'),
      import('vega-lite'),
      import('@resvg/resvg-js'),
    ]);
    return { vega, vegaLite, resvg };
  } catch (cause) {
    throw notInstalled(cause);
  }
}

function findFonts(): string[] {
  const { resolve } = createRequire(import.meta.url);
  try {
    return FONT_FILES.map((file) => resolve(`dejavu-fonts-ttf/ttf/${file}`));
  } catch (cause) {
    throw notInstalled(cause);
  }
}

function notInstalled(cause: unknown): MachineError {
  return new MachineError('SGXIO_UNSUPPORTED_MACHINE', `to draw a figure, run: ${INSTALL}`, { cause });
}
