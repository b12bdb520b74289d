/** A program whose exports are not known to the compiler: any name, any arguments, an unknown result. */
export interface UntypedProgram {
  // biome-ignore lint/suspicious/noExplicitAny: this is what says that arguments are not checked.
  readonly [name: string]: (...values: any[]) => unknown;
}

// biome-ignore lint/suspicious/noExplicitAny: every function is assignable to this one alone.
type AnyFunction = (...values: any[]) => unknown;

/** The names of the functions among a program's exports: `FunctionName<typeof program>`. */
export type FunctionName<Program> = {
  [Name in keyof Program]: Program[Name] extends AnyFunction ? Name : never;
}[keyof Program] &
  string;

export type ArgumentsOf<Program, Name extends keyof Program> = Program[Name] extends AnyFunction
  ? Parameters<Program[Name]>
  : never;

/** What a launch of the function resolves to. */
export type ResultOf<Program, Name extends keyof Program> = Program[Name] extends AnyFunction
  ? Awaited<ReturnType<Program[Name]>>
  : never;
