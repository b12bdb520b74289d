import type { GoalName } from './goals.ts';

/** Why a goal is not met, as measured; shown only where a run does not meet it. */
export const explanations: Readonly<Partial<Record<GoalName, string>>> = {};
