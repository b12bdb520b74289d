import type { Row } from '../../suite.ts';
import { type ReportData, rowsOf } from '../data.ts';
import { formatBytes, formatNanoseconds, threeDigits } from '../units.ts';
import { type Finding, type Goal, isRatio, judgeWorst, numberOf, type Ratio } from './goal.ts';

/** Protected files. */

const WARM_MIN = 1;
const COLD_MIN = 0.6;
const RANDOM_WRITE_MIN = 0.5;
/** Bandwidth is that of large pieces; with small ones the calls count. */
const BANDWIDTH_CHUNK_BYTES = 65_536;
const BLOCK_BYTES = 4096;
const RANDOM_WRITES = 1000;
const BYTES_A_MIB = 1_048_576;

const SUITE = 'protected-files';

export type ProtectedFilesGoal = 'files-warm' | 'files-cold' | 'files-random-write';

export const protectedFilesGoals: Readonly<Record<ProtectedFilesGoal, Goal>> = {
  'files-warm': {
    figure: 'protected file, warm random reads of 4 KiB',
    anchor: 'fs.readSync of a plain file',
    goal: 'at least its rate',
    suite: SUITE,
    judge: (data) =>
      rates(data, ['warm random read'], { limit: WARM_MIN, is: 'least', words: '' }, (row) =>
        numberOf(row, 'node_fs_mib_per_second'),
      ),
    explain: (data) => {
      const random = named(data, ['warm random read'])[0];
      const large = named(data, ['warm read']).find((row) => row['chunk_bytes'] === BANDWIDTH_CHUNK_BYTES);
      const [own, node, copied] = [
        numberOf(random, 'protected_mib_per_second'),
        numberOf(random, 'node_fs_mib_per_second'),
        numberOf(large, 'protected_mib_per_second'),
      ];
      if (own === undefined || node === undefined || copied === undefined) return undefined;
      const [block, plain, piece] = [own, node, copied].map(blockNanoseconds) as [number, number, number];
      return `A read of 4 KiB takes ${formatNanoseconds(block)}, by fs.readSync ${formatNanoseconds(plain)}. It makes no call: in pieces of ${formatBytes(BANDWIDTH_CHUNK_BYTES)} the same bytes come out of the cache at ${formatNanoseconds(piece)} for 4 KiB, and what a random one takes more is one search of the cache for each.`;
    },
  },
  'files-cold': {
    figure: 'protected file, cold sequential read and write',
    anchor: 'the lower of node:fs on a plain file and bare AES-256-GCM',
    goal: `≥ ${COLD_MIN} of its bandwidth, in pieces of 64 KiB and more`,
    suite: SUITE,
    judge: (data) =>
      rates(data, ['write', 'cold read'], { limit: COLD_MIN, is: 'least', words: '' }, (row) => {
        const plain = numberOf(row, 'node_fs_mib_per_second');
        const cipher = cipherRate(data);
        if (plain === undefined || cipher === undefined) return undefined;
        return Number(row['chunk_bytes']) < BANDWIDTH_CHUNK_BYTES ? undefined : Math.min(plain, cipher);
      }),
    explain: (data) => {
      const parts = rowsOf(data, SUITE)
        .filter((row) => row['what'] === 'cold read' || row['what'] === 'write')
        .filter((row) => Number(row['chunk_bytes']) >= BANDWIDTH_CHUNK_BYTES)
        .map((row) => {
          const block = (field: string) => formatNanoseconds(blockNanoseconds(numberOf(row, field) ?? 1));
          return `${row['what']} in ${formatBytes(Number(row['chunk_bytes']))}: ${block('protected_mib_per_second')}, of a plain file ${block('plain_mib_per_second')}`;
        });
      const cipher = formatNanoseconds(blockNanoseconds(cipherRate(data) ?? 1));
      const each = named(data, ['cold read']).find((row) => row['chunk_bytes'] === BLOCK_BYTES);
      const single = formatNanoseconds(blockNanoseconds(numberOf(each, 'cipher_mib_per_second') ?? 1));
      return `Time of a block of 4 KiB, by the enclave: ${parts.join('; ')}. The bare cipher takes ${cipher} of it in pieces of 64 KiB, and ${single} block by block, each with a nonce and a tag of its own, as the format has it. The rest of a read is the block's way from the core of the worker; that of a write, the cache, the tree over the tags and the sync. ${besideGocryptfs(data)}`;
    },
  },
  'files-random-write': {
    figure: 'protected file, 1,000 random writes of 4 KiB and a sync',
    anchor: 'node:fs on a plain file',
    goal: `≥ ${RANDOM_WRITE_MIN} of its rate`,
    suite: SUITE,
    judge: (data) => {
      const ratios = named(data, ['random writes and a sync']).flatMap((row): Ratio[] => {
        const [plain, own] = [numberOf(row, 'node_fs_milliseconds'), numberOf(row, 'protected_milliseconds')];
        if (plain === undefined || own === undefined) return [];
        return [{ ratio: plain / own, where: `${plain} against ${own} ms`, rows: [row] }];
      });
      return judgeWorst(ratios, { limit: RANDOM_WRITE_MIN, is: 'least', words: '' });
    },
    explain: (data) => {
      const row = named(data, ['random writes and a sync'])[0];
      const cipher = cipherRate(data);
      if (row === undefined || cipher === undefined) return undefined;
      const sealing = formatNanoseconds(RANDOM_WRITES * blockNanoseconds(cipher));
      const other = numberOf(row, 'gocryptfs_milliseconds');
      const beside = other === undefined ? '' : `; gocryptfs, which has no tree, takes ${other} ms`;
      return `The same writes and sync take ${row['plain_milliseconds']} ms on a plain file through the same enclave${beside}. Sealing ${RANDOM_WRITES.toLocaleString('en')} blocks once takes ${sealing} by the bare cipher; blocks that are not in the cache are opened first, and the tree over the tags is written beside them.`;
    },
  },
};

/** What share of the lower of the plain service and the cipher the enclave has, and how gocryptfs fares. */
function besideGocryptfs(data: ReportData): string {
  const rows = named(data, ['cold read']).filter(
    (row) => Number(row['chunk_bytes']) >= BANDWIDTH_CHUNK_BYTES,
  );
  const shares = rows
    .map((row) => numberOf(row, 'protected_of_lower'))
    .filter((share) => share !== undefined);
  const others = rows.flatMap((row) => {
    const [own, other] = [
      numberOf(row, 'protected_mib_per_second'),
      numberOf(row, 'gocryptfs_mib_per_second'),
    ];
    return own === undefined || other === undefined ? [] : [own / other];
  });
  const range = (values: number[]) => values.map((value) => value.toFixed(2)).join(' and ');
  const plain =
    shares.length === 0
      ? ''
      : `Against the lower of the cipher and a plain file through the same enclave, cold reads have ${range(shares)} of the rate.`;
  return others.length === 0 ? plain : `${plain} They have ${range(others)} × the rate of gocryptfs.`;
}

function named(data: ReportData, names: readonly string[]): Row[] {
  return rowsOf(data, SUITE).filter(({ what }) => names.includes(String(what)));
}

/** The rate of protected files against what `anchor` gives for the same row; rows without either are left out. */
function rates(
  data: ReportData,
  names: readonly string[],
  goal: Parameters<typeof judgeWorst>[1],
  anchor: (row: Row) => number | undefined,
): Finding | undefined {
  const ratios = named(data, names).map((row): Ratio | undefined => {
    const [own, other] = [numberOf(row, 'protected_mib_per_second'), anchor(row)];
    if (own === undefined || other === undefined) return undefined;
    const where = `${row['what']} in ${formatBytes(Number(row['chunk_bytes']))}: ${threeDigits(own)} against ${threeDigits(other)} MiB/s`;
    return { ratio: own / other, where, rows: [row] };
  });
  return judgeWorst(ratios.filter(isRatio), goal);
}

/** The best that it did in large pieces: it is in turns with others, which are not always quiet. */
function cipherRate(data: ReportData): number | undefined {
  const rates = named(data, ['write', 'cold read'])
    .filter((row) => Number(row['chunk_bytes']) >= BANDWIDTH_CHUNK_BYTES)
    .map((row) => numberOf(row, 'cipher_mib_per_second'))
    .filter((rate) => rate !== undefined);
  return rates.length === 0 ? undefined : Math.max(...rates);
}

function blockNanoseconds(mibPerSecond: number): number {
  return (BLOCK_BYTES / (mibPerSecond * BYTES_A_MIB)) * 1e9;
}
