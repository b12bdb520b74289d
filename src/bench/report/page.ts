import type { Comparison } from '../comparison.ts';
import { drawSvg } from '../figure.ts';
import { machineLine } from '../machine.ts';
import { tableOf } from '../row-table.ts';
import { type Bar, barChart, type Width } from './charts.ts';
import { type ReportData, rowsOf } from './data.ts';
import { type JudgedGoal, judgeGoals, OTHERS_MAX } from './goals.ts';
import { detailsHtml, escapeHtml, tableHtml } from './html.ts';
import { colour, themed } from './palette.ts';
import type { Section, SectionFigure } from './sections/section.ts';
import { sectionsOf } from './sections.ts';
import { STYLE } from './style.ts';
import { formatNanoseconds } from './units.ts';

/** How busy a machine may be before the run, in cores, for its figures to be trusted. */
const LOAD_MAX = 0.5;
export const INSTALL_PEERS = '(cd benchmarks && npm ci) && npm run report';

/** What the reader is warned of; empty when nothing is wrong. */
export function noticesOf({ size, machine, suites }: ReportData): string[] {
  const notices: string[] = [];
  if (size !== 'full') notices.push(`A ${size} run: too short for figures to be quoted.`);
  if (machine.load > LOAD_MAX) {
    notices.push(
      `Others used this machine when the run began (a load of ${machine.load}): its figures are too noisy to be quoted.`,
    );
  }
  const disturbed = suites.filter(({ others_cores }) => others_cores > OTHERS_MAX);
  if (disturbed.length > 0) {
    const cores = disturbed.map(({ suite, others_cores }) => `${suite} (${others_cores} cores)`).join(', ');
    notices.push(`Others used this machine meanwhile, so that these are too noisy to be judged: ${cores}.`);
  }
  return notices;
}

/** The whole report as one page that needs nothing else. */
export async function renderPage(data: ReportData): Promise<string> {
  const sections = sectionsOf(data);
  const bodies = await Promise.all(sections.map((section) => sectionHtml(section, data)));
  const peers = await peersHtml(data);
  const links = [
    ...sections.map(({ suite, title }) => [suite, title] as const),
    ['peers', 'Beside its peers'],
  ];
  const notices = noticesOf(data).map((notice) => `<p class="notice">${escapeHtml(notice)}</p>`);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>sgxio, measured</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>sgxio, measured</h1>
<p class="quiet">${escapeHtml(machineLine(data.machine))}. ${escapeHtml(data.day)}. What is compared took turns in one run; figures are medians over rounds after a warm-up; nothing was pinned to a core.</p>
${notices.join('\n')}
<nav>${links.map(([id, title]) => `<a href="#${id}">${escapeHtml(title!)}</a>`).join(' ')}</nav>
</header>
<main>
<section id="goals">
<h2>Goals</h2>
${goalsHtml(judgeGoals(data))}
</section>
${bodies.join('\n')}
${peers}
</main>
<footer class="quiet"><p>Made by <code>npm run report</code>; <code>npm run report -- --from out/report.json</code> draws it again without measuring.</p></footer>
</body>
</html>
`;
}

function goalsHtml(goals: readonly JudgedGoal[]): string {
  const met = goals.filter(({ verdict }) => verdict === 'met').length;
  const rows = goals.map(
    ({ figure, anchor, goal, measured, verdict, explanation }) =>
      `<tr><td><strong>${escapeHtml(figure)}</strong><small>${escapeHtml(anchor)}</small>${
        explanation === '' ? '' : `<small class="why">${escapeHtml(explanation)}</small>`
      }</td><td data-label="Goal">${escapeHtml(goal)}</td><td data-label="Measured">${escapeHtml(measured)}</td><td class="${
        verdict === 'met' ? 'met' : verdict === 'not met' ? 'missed' : 'quiet'
      }">${verdict}</td></tr>`,
  );
  const noisy = goals.filter(({ verdict }) => verdict === 'too noisy').length;
  const rest = noisy === 0 ? '' : `, ${noisy} too noisy to be judged`;
  return `<p>${met} of ${goals.length} met${rest}.</p>
<table class="goals"><thead><tr><th>Figure, and what it is set against</th><th>Goal</th><th>Measured</th><th></th></tr></thead>
<tbody>
${rows.join('\n')}
</tbody></table>`;
}

async function sectionHtml(
  { suite, title, method, command, figures }: Section,
  data: ReportData,
): Promise<string> {
  const drawn = await Promise.all(figures.map(figureHtml));
  const again =
    command === undefined ? '' : `<p class="quiet">This alone: <code>${escapeHtml(command)}</code></p>`;
  return `<section id="${suite}">
<h2>${escapeHtml(title)}</h2>
<p>${escapeHtml(method)}</p>
${drawn.join('\n')}
${detailsHtml('All figures', tableHtml(tableOf(rowsOf(data, suite))))}
${again}
</section>`;
}

/** Drawn twice, because the text of a wide figure is too small to read on a phone. */
async function figureHtml({ caption, draw }: SectionFigure): Promise<string> {
  const svg = async (width: Width): Promise<string> =>
    `<div class="${width}" role="img" aria-label="${escapeHtml(caption)}">${themed(await drawSvg(draw(width)))}</div>`;
  return `<figure><figcaption>${escapeHtml(caption)}</figcaption>${await svg('wide')}${await svg('narrow')}</figure>`;
}

async function peersHtml({ peers, skipped }: ReportData): Promise<string> {
  const parts = await Promise.all(peers.map(comparisonHtml));
  const content =
    parts.length > 0
      ? parts.join('\n')
      : `<p>Not measured: the peers are a package of their own. <code>${INSTALL_PEERS}</code></p>`;
  return `<section id="peers">
<h2>Beside its peers</h2>
<p>What a user would pick instead, in the same run. No winner is named where rounds differ too much among themselves or overlap. sgxio is in another process, which cannot make system calls; all others are threads of one process.</p>
${content}
${skipped.map((line) => `<p class="quiet">Not measured: ${escapeHtml(line)}.</p>`).join('\n')}
</section>`;
}

async function comparisonHtml({ question, rows, verdict }: Comparison): Promise<string> {
  const least = Math.min(...rows.map(({ p50_ns }) => p50_ns));
  const bars = rows.map(
    ({ name, side, p50_ns }): Bar => ({
      name,
      value: Math.max(p50_ns, 1),
      text: formatNanoseconds(p50_ns),
      colour: colour(side === 'own' ? 'blue' : side === 'peer' ? 'grey' : 'ink'),
    }),
  );
  const figure = await figureHtml({
    caption: `${question}: median time, logarithmic scale`,
    draw: (width) => barChart(bars, width, Math.max(1, least / 2)),
  });
  return `${figure}
<p>${escapeHtml(verdict)}.</p>
${detailsHtml('All figures', tableHtml(tableOf(rows)))}`;
}
