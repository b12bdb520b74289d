import * as v from 'valibot';
import { InvalidArgumentError } from '../../errors.ts';
import type { Comparison } from '../comparison.ts';
import type { MachineDescription } from '../machine.ts';
import type { Row, SuiteResult } from '../suite.ts';
import type { Size } from './suites.ts';

/** A suite with what the run says of itself. */
export interface MeasuredSuite extends SuiteResult {
  readonly seconds: number;
  /** Cores that others took of the machine meanwhile. */
  readonly others_cores: number;
}

/** All that a report is made of: what was measured, and on what. */
export interface ReportData {
  readonly size: Size;
  /** The day of the run, as YYYY-MM-DD. */
  readonly day: string;
  readonly machine: MachineDescription;
  /** How long the whole run took, the comparisons with the peers included. */
  readonly seconds: number;
  readonly suites: readonly MeasuredSuite[];
  /** Empty where the peers are not installed. */
  readonly peers: readonly Comparison[];
  /** What was not compared because it is not installed, a line for each. */
  readonly skipped: readonly string[];
}

const Scalar = v.union([v.number(), v.string(), v.boolean()]);
const RowSchema = v.record(v.string(), v.union([Scalar, v.record(v.string(), v.number())]));

const MachineSchema = v.object({
  processor: v.string(),
  cores: v.number(),
  memory_gib: v.number(),
  kernel: v.string(),
  node: v.string(),
  load: v.number(),
});

const ComparedSchema = v.object({
  name: v.string(),
  version: v.string(),
  side: v.picklist(['own', 'peer', 'floor']),
  p50_ns: v.number(),
  p50_least_ns: v.number(),
  p50_most_ns: v.number(),
  p99_ns: v.number(),
  spread: v.number(),
  processor_ns_per_operation: v.number(),
});

const ReportSchema: v.GenericSchema<unknown, ReportData> = v.object({
  size: v.picklist(['full', 'quick', 'smoke']),
  day: v.string(),
  machine: MachineSchema,
  seconds: v.number(),
  suites: v.array(
    v.object({ suite: v.string(), seconds: v.number(), others_cores: v.number(), rows: v.array(RowSchema) }),
  ),
  peers: v.array(
    v.object({
      question: v.string(),
      machine: MachineSchema,
      rounds: v.number(),
      count: v.number(),
      rows: v.array(ComparedSchema),
      verdict: v.string(),
    }),
  ),
  skipped: v.array(v.string()),
});

export type SuiteRows = readonly Row[];

/** Reads what an earlier run wrote. */
export function parseReport(text: string): ReportData {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new InvalidArgumentError('the results of a report are a JSON document, and this is none', {
      cause,
    });
  }
  const result = v.safeParse(ReportSchema, value);
  if (result.success) return result.output;
  const [issue] = result.issues;
  const path = v.getDotPath(issue) ?? 'the document';
  throw new InvalidArgumentError(`these are no results of a report: ${path}: ${issue.message}`);
}

/** The rows of a suite; none when it was not run. */
export function rowsOf(data: ReportData, suite: string): SuiteRows {
  return data.suites.find((result) => result.suite === suite)?.rows ?? [];
}
