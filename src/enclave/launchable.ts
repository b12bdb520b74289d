import { SgxioError } from '../errors.ts';

/**
 * Functions that say what their arguments must be. The host is not trusted to keep to types, so a function
 * that is launched with anything but what its schemas accept does not run.
 *
 * A schema is one of any library that follows Standard Schema 1.0 (https://standardschema.dev): valibot, zod, …
 */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

interface SchemaIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

type AnySchema = StandardSchema<unknown, unknown>;
type TypesOf<Schema extends AnySchema> = NonNullable<Schema['~standard']['types']>;
type InputOf<Schema extends AnySchema> = TypesOf<Schema>['input'];
/** Arguments at the end that may be `undefined` may be left out. */
type InputsOf<Schemas extends readonly AnySchema[]> = Schemas extends readonly [
  ...infer Rest extends readonly AnySchema[],
  infer Last extends AnySchema,
]
  ? undefined extends InputOf<Last>
    ? [...InputsOf<Rest>, InputOf<Last>?]
    : { -readonly [Index in keyof Schemas]: InputOf<Schemas[Index]> }
  : [];
type OutputsOf<Schemas extends readonly AnySchema[]> = {
  -readonly [Index in keyof Schemas]: TypesOf<Schemas[Index]>['output'];
};

/** How much of a list of complaints crosses to the host. */
const ISSUES_SHOWN = 3;

/**
 * Makes a function to export: it takes what the schemas accept, one for each argument, and runs with what they
 * make of it. Anything else, or another number of arguments, fails with SGXIO_LAUNCH_REJECTED.
 */
export function launchable<const Schemas extends readonly AnySchema[], Result>(
  schemas: Schemas,
  run: (...values: OutputsOf<Schemas>) => Result | Promise<Result>,
): (...values: InputsOf<Schemas>) => Promise<Result> {
  return async (...values) => {
    if (values.length > schemas.length) {
      throw new LaunchRejection(`it takes ${schemas.length} arguments, not ${values.length}`);
    }
    const checked: unknown[] = [];
    for (const [index, schema] of schemas.entries()) {
      const result = await schema['~standard'].validate(values[index]);
      if (result.issues !== undefined) throw new LaunchRejection(describeIssues(index, result.issues));
      checked.push(result.value);
    }
    return await run(...(checked as unknown as OutputsOf<Schemas>));
  };
}

/** The arguments of a launch are not what its function takes. */
export class LaunchRejection extends SgxioError {
  constructor(message: string) {
    super('SGXIO_LAUNCH_REJECTED', message);
  }
}

function describeIssues(index: number, issues: readonly SchemaIssue[]): string {
  const shown = issues.slice(0, ISSUES_SHOWN).map(({ path = [], message }) => {
    const keys = path.map(
      (part) => `[${JSON.stringify(String(typeof part === 'object' ? part.key : part))}]`,
    );
    return `arguments[${index}]${keys.join('')}: ${message}`;
  });
  return shown.join('; ');
}
