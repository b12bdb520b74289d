/**
 * The colours of the report's figures, in light and in dark. A figure is drawn in the light ones (Okabe and Ito's,
 * which the colour-blind tell apart); in the page each becomes a variable, so that one drawing serves both.
 */
const COLOURS: Readonly<Record<string, { readonly light: string; readonly dark: string }>> = {
  ink: { light: '#222222', dark: '#ececea' },
  quiet: { light: '#555555', dark: '#b4b4b0' },
  grid: { light: '#e8e8e8', dark: '#34363a' },
  axis: { light: '#999999', dark: '#6d7076' },
  blue: { light: '#0072b2', dark: '#5cb4ec' },
  vermilion: { light: '#d55e00', dark: '#f28c4b' },
  orange: { light: '#e69f00', dark: '#f2bd45' },
  green: { light: '#009e73', dark: '#41cba0' },
  purple: { light: '#cc79a7', dark: '#e6a4c6' },
  sky: { light: '#56b4e9', dark: '#9ad6f7' },
  grey: { light: '#8a8a8a', dark: '#a0a3a8' },
};

/** A colour of a figure by its name, as it is drawn. */
export function colour(name: keyof typeof COLOURS): string {
  return COLOURS[name]!.light;
}

/** Declarations of the variables for a style sheet. */
export function colourVariables(mode: 'light' | 'dark'): string {
  return Object.entries(COLOURS)
    .map(([name, shades]) => `--figure-${name}: ${shades[mode]};`)
    .join(' ');
}

/** The drawing with its colours as variables, and as wide as its place allows. */
export function themed(svg: string): string {
  let text = svg;
  for (const [name, { light }] of Object.entries(COLOURS)) {
    text = text.replaceAll(`"${light}"`, `"var(--figure-${name})"`);
  }
  return text.replaceAll('fill="white"', 'fill="var(--paper)"');
}
