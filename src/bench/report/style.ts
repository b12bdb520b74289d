import { colourVariables } from './palette.ts';

/** The style sheet of the page: one column, two schemes of colour, tables that become lists on a phone. */
export const STYLE: string = `
:root { color-scheme: light dark; --paper: #fdfdfc; --ink: #222222; --quiet: #5c5c5a; --line: #e2e2df;
  --wash: #f4f4f1; --good: #00694d; --bad: #a3400a; ${colourVariables('light')} }
@media (prefers-color-scheme: dark) { :root { --paper: #17181a; --ink: #ececea; --quiet: #b0b0ac;
  --line: #34363a; --wash: #1f2124; --good: #52d3a8; --bad: #f5a06a; ${colourVariables('dark')} } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body { margin: 0 auto; max-width: 46rem; padding: 3.5rem 1.5rem 5rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 2rem; line-height: 1.2; letter-spacing: -0.02em; margin: 0 0 0.75rem; }
h2 { font-size: 1.35rem; line-height: 1.3; letter-spacing: -0.01em; margin: 4rem 0 0.75rem; }
p { margin: 0 0 1rem; max-width: 41rem; }
.quiet, figcaption, summary { color: var(--quiet); font-size: 0.875rem; }
.notice { border-left: 3px solid var(--bad); padding: 0.5rem 0 0.5rem 1rem; }
nav { margin: 1.5rem 0 0; font-size: 0.875rem; line-height: 2; }
nav a { margin-right: 1rem; white-space: nowrap; }
a { color: inherit; text-decoration-color: var(--quiet); text-underline-offset: 0.2em; }
code { font: 0.875em ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
figure { margin: 1.75rem 0; }
figcaption { margin-bottom: 0.75rem; }
figure svg { display: block; max-width: 100%; height: auto; }
figure svg text { font-family: inherit; }
figure .narrow { display: none; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 0.875rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.45rem 1rem 0.45rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { font-weight: 600; color: var(--quiet); }
.scroll td, .scroll th { white-space: nowrap; }
.number { text-align: right; }
.goals td:last-child { white-space: nowrap; padding-right: 0; }
.goals small.why { margin-top: 0.35rem; }
.goals small { display: block; color: var(--quiet); font-size: 0.8125rem; }
.met { color: var(--good); font-weight: 600; }
.missed { color: var(--bad); font-weight: 600; }
details { margin: 1rem 0; }
summary { cursor: pointer; padding: 0.25rem 0; }
details[open] summary { margin-bottom: 0.75rem; }
footer { margin-top: 4.5rem; border-top: 1px solid var(--line); padding-top: 1.5rem; }
@media (max-width: 44rem) {
  body { padding: 2rem 1.125rem 3rem; }
  h1 { font-size: 1.6rem; }
  figure .wide { display: none; }
  figure .narrow { display: block; }
  .goals, .goals tbody, .goals tr, .goals td { display: block; width: 100%; }
  .goals thead { display: none; }
  .goals tr { border-bottom: 1px solid var(--line); padding: 0.75rem 0; }
  .goals td { border: 0; padding: 0.1rem 0; }
  .goals td[data-label]::before { content: attr(data-label) ": "; color: var(--quiet); }
}
@media print { details > * { display: block; } nav { display: none; } }
`;
