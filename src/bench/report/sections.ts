import { type ReportData, rowsOf } from './data.ts';
import { callSections } from './sections/calls.ts';
import { launchSections } from './sections/launches.ts';
import type { Section } from './sections/section.ts';
import { serverSections } from './sections/servers.ts';
import { storageSections } from './sections/storage.ts';

const plans = [...callSections, ...serverSections, ...launchSections, ...storageSections];

/** The sections of all suites that were run, in the order in which they were run. */
export function sectionsOf(data: ReportData): Section[] {
  return data.suites.flatMap(({ suite }) => {
    const rows = rowsOf(data, suite);
    const plan = plans.find((each) => each.suite === suite);
    return plan === undefined || rows.length === 0 ? [] : [{ ...plan, figures: plan.figures(rows) }];
  });
}
