import { files } from '../../src/enclave.ts';

/** Something that can be served: so many bytes, read piece by piece. */
export interface Content {
  readonly type: string;
  readonly size: number;
  /** All of it, where it lies in memory. */
  readonly bytes?: Uint8Array<ArrayBuffer>;
  /** Fills `buffer` from `position`; says how much there was. */
  read(buffer: Uint8Array<ArrayBuffer>, position: number): Promise<number>;
  close(): Promise<void>;
}

const types: Readonly<Record<string, string>> = {
  css: 'text/css; charset=utf-8',
  gif: 'image/gif',
  html: 'text/html; charset=utf-8',
  ico: 'image/x-icon',
  jpg: 'image/jpeg',
  js: 'text/javascript; charset=utf-8',
  json: 'application/json',
  mjs: 'text/javascript; charset=utf-8',
  png: 'image/png',
  svg: 'image/svg+xml',
  txt: 'text/plain; charset=utf-8',
  wasm: 'application/wasm',
  woff2: 'font/woff2',
};
const OTHER_TYPE = 'application/octet-stream';

function typeOf(path: string): string {
  const extension = path.slice(path.lastIndexOf('.') + 1).toLowerCase();
  return Object.hasOwn(types, extension) ? (types[extension] as string) : OTHER_TYPE;
}

/** A path that names a directory stands for the page in it. */
function pagePath(path: string): string {
  return path.endsWith('/') ? `${path}index.html` : path;
}

class MemoryContent implements Content {
  readonly type: string;
  readonly bytes: Uint8Array<ArrayBuffer>;

  constructor(type: string, bytes: Uint8Array<ArrayBuffer>) {
    this.type = type;
    this.bytes = bytes;
  }

  get size(): number {
    return this.bytes.length;
  }

  read(buffer: Uint8Array<ArrayBuffer>, position: number): Promise<number> {
    const piece = this.bytes.subarray(position, position + buffer.length);
    buffer.set(piece);
    return Promise.resolve(piece.length);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** What was put into the enclave's memory by a launch. */
const inMemory = new Map<string, MemoryContent>();

/** Keeps a copy of `bytes` to be served at `path`. */
export function keepInMemory(path: string, bytes: Uint8Array<ArrayBuffer>): void {
  inMemory.set(path, new MemoryContent(typeOf(path), bytes));
}

/** Finds what is served at a path: in memory, else as a file of the host below `mount`, where there is one. */
export async function findContent(path: string, mount: string | undefined): Promise<Content | undefined> {
  const page = pagePath(path);
  return inMemory.get(page) ?? (mount === undefined ? undefined : await openFile(`${mount}${page}`, page));
}

/** What cannot be opened is not there, whatever the reason: the outside learns nothing of the others. */
async function openFile(place: string, page: string): Promise<Content | undefined> {
  let file: files.File;
  try {
    file = await files.openAsync(place);
  } catch {
    return undefined;
  }
  try {
    const status = await file.statAsync();
    if (status.isFile()) {
      return {
        type: typeOf(page),
        size: status.size,
        read: (buffer, position) => file.readAsync(buffer, { position }),
        close: () => file.closeAsync(),
      };
    }
  } catch {
    // It can be opened and not asked about: the same as one that is not there.
  }
  await file.closeAsync();
  return undefined;
}
