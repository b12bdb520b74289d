import { randomFillSync } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { initMount } from '../cli/mounts.ts';
import { deriveMountKey } from '../enclave/protected/keys.ts';
import { Enclave } from '../host/enclave.ts';
import { buildImage } from '../image/build.ts';
import { CipherAlone } from './cipher.ts';
import { type Gocryptfs, mountGocryptfs } from './gocryptfs.ts';
import { processorOfBoth } from './processor-time.ts';
import { nodeFiles } from './protected-files-node.ts';
import type * as program from './protected-files-program.ts';
import { sqliteRow } from './sqlite.ts';
import { median } from './statistics.ts';
import { type OnProgress, type Row, rounded, type SuiteResult } from './suite.ts';

type Program = typeof program;
type Call = Exclude<keyof Program, 'default'>;

export interface ProtectedFilesOptions {
  /** Where files are laid: on the disk to be measured. */
  readonly folder?: string;
  /** MiB of the file that is larger than the cache. */
  readonly megabytes: number;
  readonly rounds: number;
}

const MIB = 1_048_576;
const CACHE_BYTES: number = 8 * MIB;
/** Fits in the cache. */
const WARM_BYTES: number = 4 * MIB;
const CHUNKS: readonly number[] = [4096, 65_536, MIB];
const RANDOM_READS = 4000;
const RANDOM_WRITES = 1000;
const NANOSECONDS_A_MILLISECOND = 1e6;
const SMALL_FILES = 500;
/** Two busy sides leave V8's compilers little of two cores, so that code is compiled later than elsewhere. */
const WARM_UPS = 3;

/** One thing that is measured, for each contender by the same call. */
interface Measure {
  readonly row: Row;
  readonly unit: 'mib_per_second' | 'microseconds' | 'milliseconds';
  /** Bytes or operations that one call makes, by which its time is divided. */
  readonly amount: number;
  readonly call: Call;
  arguments(folder: string): unknown[];
}

/**
 * The contenders: the same operations on files of the host, on its files through an enclave, on protected ones, and on
 * those of an encrypted file system outside of an enclave, where one is installed. Beside what goes through a file in
 * order, the cipher alone over the same bytes.
 */
interface Contender {
  readonly name: 'node_fs' | 'plain' | 'protected' | 'gocryptfs' | 'cipher';
  /** Milliseconds that a call takes. */
  run(measure: Measure): Promise<number>;
  /** Left out: every one. */
  takesPart?(measure: Measure): boolean;
  /** Processor time of all that take part, so far, in nanoseconds. */
  processor(): number;
}

/**
 * Protected files in an enclave, beside the plain service of the same enclave and `node:fs`, each operation in turns;
 * files of the host come from the kernel's page cache. With gocryptfs, where it is installed, which decrypts what an
 * opened file is read from for the first time. `cipher` is AES-256-GCM alone, chunk by chunk, and `protected_of_lower` the
 * share that protected files have of the lower of it and the plain service.
 * `cores` is processor time for each second on the wall, of all that take part but the kernel's own threads.
 */
export async function protectedFilesSuite(
  { folder = tmpdir(), megabytes, rounds }: ProtectedFilesOptions,
  onProgress: OnProgress,
): Promise<SuiteResult> {
  const root = mkdtempSync(join(folder, 'sgxio-bench-'));
  try {
    const secret = randomFillSync(new Uint8Array(32));
    prepareFolders(root, secret);
    const rows = await fileRows(root, secret, { megabytes, rounds }, onProgress);
    onProgress('sqlite');
    rows.push(await sqliteRow({ root, secret, cacheBytes: CACHE_BYTES, rounds }));
    return { suite: 'protected-files', rows };
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

async function fileRows(
  root: string,
  secret: Uint8Array<ArrayBuffer>,
  { megabytes, rounds }: ProtectedFilesOptions,
  onProgress: OnProgress,
): Promise<Row[]> {
  await using enclave = await startEnclave(root, secret);
  const gocryptfs = mountGocryptfs(root);
  const mounted = 'folder' in gocryptfs ? gocryptfs : undefined;
  using cipher = new CipherAlone(MIB);
  try {
    const contenders = [...contendersOf(root, enclave, mounted), cipherContender(cipher)];
    const rows: Row[] = [];
    for (const measure of measuresOf(megabytes * MIB)) {
      onProgress(Object.values(measure.row).join(' '));
      rows.push(await measureRow(measure, contenders, rounds));
    }
    if ('reason' in gocryptfs) rows.push({ what: 'gocryptfs', left_out: gocryptfs.reason });
    return rows;
  } finally {
    mounted?.[Symbol.dispose]();
  }
}

function prepareFolders(root: string, secret: Uint8Array<ArrayBuffer>): void {
  for (const name of ['node_fs', 'plain', 'protected']) mkdirSync(join(root, name));
  initMount(join(root, 'protected'), deriveMountKey(secret, '/protected'));
}

async function startEnclave(root: string, secret: Uint8Array<ArrayBuffer>): Promise<Enclave<Program>> {
  const image = await buildImage(fileURLToPath(new URL('./protected-files-program.js', import.meta.url)), {
    name: 'bench-protected-files',
    privateMemoryBytes: CACHE_BYTES + MIB,
    grants: {
      files: [
        { mount: '/plain', access: 'read-write' },
        { mount: '/protected', access: 'read-write', protected: true, cacheBytes: CACHE_BYTES },
      ],
    },
  });
  return await Enclave.create<Program>(image, {
    directories: { '/plain': join(root, 'plain'), '/protected': join(root, 'protected') },
    fileSecret: secret,
  });
}

function contendersOf(
  root: string,
  enclave: Enclave<Program>,
  gocryptfs: Gocryptfs | undefined,
): Contender[] {
  const launch = async ({ call, arguments: of }: Measure, folder: string) =>
    (await (enclave as Enclave).launch(call, ...(of(folder) as never[]))) as number;
  const inNode = nodeFiles as unknown as Record<string, (...given: unknown[]) => number>;
  const on = (name: Contender['name'], folder: string): Contender => ({
    name,
    run: async (measure) => inNode[measure.call]!(...measure.arguments(folder)),
    processor: () => processorOfBoth(name === 'gocryptfs' ? gocryptfs : undefined),
  });
  const inEnclave = (name: Contender['name']): Contender => ({
    name,
    run: (measure) => launch(measure, `/${name}`),
    processor: () => processorOfBoth(enclave),
  });
  return [
    on('node_fs', join(root, 'node_fs')),
    inEnclave('plain'),
    inEnclave('protected'),
    ...(gocryptfs === undefined ? [] : [on('gocryptfs', gocryptfs.folder)]),
  ];
}

function cipherContender(cipher: CipherAlone): Contender {
  return {
    name: 'cipher',
    takesPart: ({ row }) => row['what'] === 'write' || row['what'] === 'cold read',
    run: async ({ amount, call, row }) =>
      cipher[call === 'fill' ? 'seal' : 'open'](amount, row['chunk_bytes'] as number),
    processor: () => processorOfBoth(undefined),
  };
}

function measuresOf(bytes: number): Measure[] {
  const throughput = (what: string, call: Call, chunk: number, size: number, ...more: number[]): Measure => ({
    row: { what, chunk_bytes: chunk, file_mib: size / MIB },
    unit: 'mib_per_second',
    amount: more.length === 0 ? size : more[0]! * chunk,
    call,
    arguments: (folder) => [`${folder}/file of ${size}`, size, chunk, ...more],
  });
  const each = (what: string, call: Call): Measure => ({
    row: { what },
    unit: 'microseconds',
    amount: SMALL_FILES,
    call,
    arguments: (folder) => [folder, SMALL_FILES],
  });
  return [
    ...CHUNKS.map((chunk) => throughput('write', 'fill', chunk, bytes)),
    ...CHUNKS.map((chunk) => throughput('cold read', 'readThrough', chunk, bytes)),
    ...CHUNKS.map((chunk) =>
      throughput('cold random read', 'readAtRandom', chunk, bytes, (RANDOM_READS * 4096) / chunk),
    ),
    {
      row: { what: 'random writes and a sync', chunk_bytes: 4096, file_mib: bytes / MIB },
      unit: 'milliseconds',
      amount: 1,
      call: 'writeAtRandom',
      arguments: (folder) => [`${folder}/file of ${bytes}`, bytes, RANDOM_WRITES],
    },
    throughput('write, in the cache', 'fill', MIB, WARM_BYTES),
    ...CHUNKS.map((chunk) => throughput('warm read', 'readThrough', chunk, WARM_BYTES)),
    throughput('warm random read', 'readAtRandom', 4096, WARM_BYTES, RANDOM_READS),
    each('create', 'createFiles'),
    each('stat', 'statFiles'),
    each('unlink', 'unlinkFiles'),
  ];
}

async function measureRow(measure: Measure, all: readonly Contender[], rounds: number): Promise<Row> {
  const contenders = all.filter(({ takesPart }) => takesPart?.(measure) !== false);
  const samples = new Map(
    contenders.map((contender) => [contender, { wall: [] as number[], cores: [] as number[] }]),
  );
  // What is unlinked is gone, and what is created was not there: those calls are made once.
  const turns = measure.call === 'unlinkFiles' ? 1 : rounds;
  for (let warmUp = 0; turns > 1 && warmUp < WARM_UPS; warmUp++) {
    for (const contender of contenders) await contender.run(measure);
  }
  for (let round = 0; round < turns; round++) {
    for (const [contender, { wall, cores }] of samples) {
      const [began, before] = [performance.now(), contender.processor()];
      wall.push(await contender.run(measure));
      cores.push(
        (contender.processor() - before) / ((performance.now() - began) * NANOSECONDS_A_MILLISECOND),
      );
    }
  }
  const figures = new Map(
    [...samples].map(([{ name }, { wall }]) => [name, figureOf(measure, median(wall))]),
  );
  const row: Record<string, Row[string]> = { ...measure.row };
  for (const [name, figure] of figures) row[`${name}_${measure.unit}`] = rounded(figure, 2);
  for (const [{ name }, { cores }] of samples) row[`${name}_cores`] = rounded(median(cores), 2);
  const cipher = figures.get('cipher');
  if (cipher !== undefined) {
    row['protected_of_lower'] = rounded(
      figures.get('protected')! / Math.min(figures.get('plain')!, cipher),
      2,
    );
  }
  return row;
}

function figureOf({ unit, amount }: Measure, milliseconds: number): number {
  if (unit === 'mib_per_second') return amount / MIB / (milliseconds / 1000);
  return unit === 'microseconds' ? (milliseconds * 1000) / amount : milliseconds;
}

/** How many steps {@link protectedFilesSuite} tells of. */
export const PROTECTED_FILES_STEPS: number = measuresOf(MIB).length + 1;
