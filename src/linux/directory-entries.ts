export type DirectoryEntryType =
  | 'file'
  | 'directory'
  | 'symbolic link'
  | 'fifo'
  | 'socket'
  | 'character device'
  | 'block device'
  | 'unknown';

export interface DirectoryEntry {
  readonly name: string;
  /** `unknown` when the file system does not keep it in the directory. */
  readonly type: DirectoryEntryType;
}

const TYPES: ReadonlyMap<number, DirectoryEntryType> = new Map([
  [1, 'fifo'],
  [2, 'character device'],
  [4, 'directory'],
  [6, 'block device'],
  [8, 'file'],
  [10, 'symbolic link'],
  [12, 'socket'],
]);

const LENGTH_OFFSET = 16;
const TYPE_OFFSET = 18;
const NAME_OFFSET = 19;
/** Records are aligned to it, so the shortest, with a name of one byte and its NUL, is 24 bytes long. */
const ALIGNMENT = 8;
const RECORD_BYTES_MIN = 24;
const NAME_BYTES_MAX = 255;
const DOT = 0x2e;
const SLASH = 0x2f;

/** As Node reads names: bytes that are not UTF-8 become U+FFFD. */
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/**
 * The entries, but for `.` and `..`, in the `linux_dirent64` records that `bytes` is full of, or `undefined` if
 * it is full of anything else. The bytes must not change meanwhile.
 */
export function decodeDirectoryEntries(bytes: Uint8Array<ArrayBuffer>): DirectoryEntry[] | undefined {
  const entries: DirectoryEntry[] = [];
  let start = 0;
  while (start < bytes.length) {
    const record = recordAt(bytes, start);
    if (record === undefined) return undefined;
    const name = nameOf(record);
    if (name === undefined) return undefined;
    if (!isDotOrDotDot(name)) {
      entries.push({ name: decoder.decode(name), type: TYPES.get(record[TYPE_OFFSET]!) ?? 'unknown' });
    }
    start += record.length;
  }
  return entries;
}

function recordAt(bytes: Uint8Array, start: number): Uint8Array | undefined {
  if (bytes.length - start < RECORD_BYTES_MIN) return undefined;
  const length = bytes[start + LENGTH_OFFSET]! | (bytes[start + LENGTH_OFFSET + 1]! << 8);
  if (length < RECORD_BYTES_MIN || length % ALIGNMENT !== 0 || length > bytes.length - start)
    return undefined;
  return bytes.subarray(start, start + length);
}

function nameOf(record: Uint8Array): Uint8Array | undefined {
  const end = record.indexOf(0, NAME_OFFSET);
  if (end <= NAME_OFFSET || end - NAME_OFFSET > NAME_BYTES_MAX) return undefined;
  const name = record.subarray(NAME_OFFSET, end);
  return name.includes(SLASH) ? undefined : name;
}

function isDotOrDotDot(name: Uint8Array): boolean {
  return name[0] === DOT && (name.length === 1 || (name.length === 2 && name[1] === DOT));
}
