import { SPREAD_MAX } from '../statistics.ts';
import type { Row } from '../suite.ts';
import type { ReportData } from './data.ts';
import { type AnchorGoal, anchorGoals } from './goals/anchors.ts';
import { type Goal, numberOf } from './goals/goal.ts';
import { type LaunchGoal, launchGoals } from './goals/launches.ts';
import { type MemoryGoal, memoryGoals } from './goals/memory.ts';
import { type ProtectedFilesGoal, protectedFilesGoals } from './goals/protected-files.ts';
import { type ServiceGoal, serviceGoals } from './goals/services.ts';

export type GoalName = AnchorGoal | ServiceGoal | MemoryGoal | LaunchGoal | ProtectedFilesGoal;

const goals: Readonly<Record<GoalName, Goal>> = {
  ...anchorGoals,
  ...serviceGoals,
  ...memoryGoals,
  ...launchGoals,
  ...protectedFilesGoals,
};

/** A goal with what a run says of it. */
export interface JudgedGoal {
  readonly name: GoalName;
  readonly figure: string;
  readonly anchor: string;
  readonly goal: string;
  readonly measured: string;
  readonly verdict: 'met' | 'not met' | 'too noisy' | 'not measured';
  /** Why it is not met, or cannot be judged. */
  readonly explanation: string;
}

/** Cores that others may take while a suite runs; beyond that its figures tell of them. */
export const OTHERS_MAX = 0.25;

/** Every goal, as this run meets it or not. */
export function judgeGoals(data: ReportData): JudgedGoal[] {
  return (Object.entries(goals) as [GoalName, Goal][]).map(([name, goal]) => {
    const { figure, anchor } = goal;
    return { name, figure, anchor, goal: goal.goal, ...judge(goal, data) };
  });
}

function judge(
  { suite, judge: find, explain }: Goal,
  data: ReportData,
): Pick<JudgedGoal, 'measured' | 'verdict' | 'explanation'> {
  const finding = find(data);
  if (finding === undefined) return { measured: '', verdict: 'not measured', explanation: '' };
  const { measured, met, rows } = finding;
  const noise = noiseOf(data, suite, rows);
  if (noise !== undefined) return { measured, verdict: 'too noisy', explanation: noise };
  if (met) return { measured, verdict: 'met', explanation: '' };
  return { measured, verdict: 'not met', explanation: explain?.(data) ?? 'Not explained yet.' };
}

/** Why figures cannot be trusted; undefined where they can. */
function noiseOf(data: ReportData, suite: string, rows: readonly Row[]): string | undefined {
  const others = data.suites.find((result) => result.suite === suite)?.others_cores ?? 0;
  if (others > OTHERS_MAX) return `Others took ${others} cores meanwhile; the limit is ${OTHERS_MAX}.`;
  const spread = Math.max(0, ...rows.map((row) => numberOf(row, 'spread') ?? 0));
  if (spread <= SPREAD_MAX) return undefined;
  return `The middle half of the rounds lies ${spread} of their median apart; the limit is ${SPREAD_MAX}.`;
}
