import * as v from 'valibot';
import {
  FILE_DURABILITIES,
  normalizePath,
  parseConnectGrant,
  parseListenGrant,
  type WrittenGrants,
} from '../boundary/grants.ts';
import { ImageError } from '../errors.ts';
import {
  GRANTS_MAX,
  INPUT_LENGTH_MAX,
  NAME_LENGTH_MAX,
  PAGE_BYTES,
  PRIVATE_MEMORY_BYTES_DEFAULT,
  PRIVATE_MEMORY_BYTES_MAX,
  PROTECTED_CACHE_BYTES_MIN,
  STORE_BYTES_MAX,
  THREADS_MAX,
} from '../limits.ts';

/** The version that images are built for: an enclave runs only those of its own. */
export const RUNTIME_VERSION = '0.1.0';

/** What an image asks of the machine and the host. It is part of the measurement. */
export interface Manifest {
  readonly name: string;
  readonly runtimeVersion: string;
  readonly privateMemoryBytes: number;
  readonly storeBytes: number;
  readonly threads: number;
  /** Clocks need no grant. */
  readonly grants: WrittenGrants;
  /** What the program finds instead of an environment and arguments. */
  readonly input: Readonly<Record<string, string>>;
}

/** A manifest as it is written: all but the name may be left out. */
export interface ManifestInput {
  readonly name: string;
  /** A whole number of pages; 1 MiB by default. */
  readonly privateMemoryBytes?: number | undefined;
  /** Untrusted memory for the sealed pages of heaps, in whole pages: what is not written costs nothing. None by default. */
  readonly storeBytes?: number | undefined;
  readonly threads?: number | undefined;
  readonly grants?: Partial<WrittenGrants> | undefined;
  readonly input?: Readonly<Record<string, string>> | undefined;
}

/** What an object of JavaScript inherits: the record below would drop such keys without a word. */
const RESERVED_KEYS = ['__proto__', 'prototype', 'constructor'];
const NAME = new RegExp(`^[a-z0-9][a-z0-9._-]{0,${NAME_LENGTH_MAX - 1}}$`);

const whole = (minimum: number, maximum: number) =>
  v.pipe(
    v.number(`must be a number from ${minimum} to ${maximum}`),
    v.integer('must be a whole number'),
    v.minValue(minimum, `must be at least ${minimum}`),
    v.maxValue(maximum, `must be at most ${maximum}`),
  );

const listOf = <Item extends v.GenericSchema>(item: Item) =>
  v.optional(
    v.pipe(
      v.array(item, 'must be a list'),
      v.maxLength(GRANTS_MAX, `must have at most ${GRANTS_MAX} entries`),
    ),
    [],
  );

const address = (parse: (text: string) => unknown) =>
  v.pipe(
    v.string('must be text'),
    v.rawCheck(({ dataset, addIssue }) => {
      if (dataset.typed) addMessage(() => parse(dataset.value), addIssue);
    }),
  );

const mount = v.pipe(
  v.string('must be text'),
  v.rawCheck(({ dataset, addIssue }) => {
    if (dataset.typed) addMessage(() => requireNormalized(dataset.value), addIssue);
  }),
);

const grants = v.strictObject(
  {
    listen: listOf(address(parseListenGrant)),
    connect: listOf(address(parseConnectGrant)),
    files: listOf(
      v.pipe(
        v.strictObject(
          {
            mount,
            access: v.picklist(['read', 'read-write'], "must be 'read' or 'read-write'"),
            protected: v.optional(v.boolean('must be true or false')),
            cacheBytes: v.optional(whole(PROTECTED_CACHE_BYTES_MIN, PRIVATE_MEMORY_BYTES_MAX)),
            durability: v.optional(
              v.picklist(FILE_DURABILITIES, `must be one of ${FILE_DURABILITIES.join(', ')}`),
            ),
          },
          keyMessage,
        ),
        v.check(
          ({ cacheBytes, durability, ...grant }) =>
            grant.protected === true || (cacheBytes === undefined && durability === undefined),
          'has cacheBytes or durability, which only a protected mount has: add protected: true',
        ),
      ),
    ),
    streams: listOf(v.picklist(['stdin', 'stdout', 'stderr'], "must be 'stdin', 'stdout' or 'stderr'")),
    names: v.optional(v.boolean('must be true or false'), false),
  },
  keyMessage,
);

const input = v.pipe(
  v.custom<object>(hasPlainKeys, `cannot have the keys ${RESERVED_KEYS.join(', ')}`),
  v.record(v.string(), v.string('must be text'), 'must be an object of texts'),
  v.check(
    (values) => JSON.stringify(values).length <= INPUT_LENGTH_MAX,
    `must be at most ${INPUT_LENGTH_MAX} characters long in all`,
  ),
  v.transform(sortKeys),
);

const manifest = v.strictObject(
  {
    name: v.pipe(
      v.string('must be text'),
      v.regex(
        NAME,
        `must be 1 to ${NAME_LENGTH_MAX} of a-z, 0-9, '.', '_' and '-', the first a letter or digit`,
      ),
    ),
    runtimeVersion: v.optional(
      v.literal(
        RUNTIME_VERSION,
        (issue) => `is ${issue.received}, but this is ${RUNTIME_VERSION}; build the image again`,
      ),
      RUNTIME_VERSION,
    ),
    privateMemoryBytes: v.optional(
      v.pipe(
        whole(PAGE_BYTES, PRIVATE_MEMORY_BYTES_MAX),
        v.multipleOf(PAGE_BYTES, `must be a multiple of ${PAGE_BYTES}`),
      ),
      PRIVATE_MEMORY_BYTES_DEFAULT,
    ),
    storeBytes: v.optional(
      v.pipe(whole(0, STORE_BYTES_MAX), v.multipleOf(PAGE_BYTES, `must be a multiple of ${PAGE_BYTES}`)),
      0,
    ),
    threads: v.optional(whole(1, THREADS_MAX), 1),
    grants: v.optional(grants, {}),
    input: v.optional(input, {}),
  },
  keyMessage,
);

/** Checks a manifest and fills in what it leaves out. Its keys come out in one order, whatever they came in. */
export function parseManifest(value: unknown): Manifest {
  const result = v.safeParse(manifest, value, { abortEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  const path = v.getDotPath(issue);
  throw new ImageError(
    'SGXIO_IMAGE_INVALID',
    `The manifest${path === null ? '' : `'s '${path}'`} ${issue.message}.`,
  );
}

/** The one text of a manifest: what is stored and measured. */
export function manifestText(value: Manifest): string {
  return JSON.stringify(value);
}

function keyMessage(issue: v.StrictObjectIssue): string {
  if (issue.expected === 'never') return 'is not known; take it out or correct its spelling';
  return issue.expected === 'Object' ? 'must be an object' : 'is missing';
}

function addMessage(check: () => unknown, addIssue: (issue: { message: string }) => void): void {
  try {
    check();
  } catch (error) {
    addIssue({ message: `is wrong: ${(error as Error).message.replace(/\.$/, '')}` });
  }
}

function requireNormalized(path: string): void {
  const normal = normalizePath(path);
  if (normal !== path) throw new Error(`write ${JSON.stringify(path)} as ${JSON.stringify(normal)}`);
}

function hasPlainKeys(value: unknown): boolean {
  return !(value instanceof Object && RESERVED_KEYS.some((key) => Object.hasOwn(value, key)));
}

function sortKeys(values: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).sort(([left], [right]) => (left < right ? -1 : 1)));
}
