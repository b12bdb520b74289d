import { fileURLToPath } from 'node:url';
import { buildImage, Enclave, type Strategy } from '../../src/index.ts';
import type * as program from './program.ts';

export type LedgerEnclave = Enclave<typeof program>;

export interface LedgerHost {
  /** The folder of the mount. */
  readonly folder: string;
  /** Of a protected mount: what its key is derived from. Without it the mount is a plain one. */
  readonly secret?: Uint8Array<ArrayBuffer> | undefined;
  readonly strategy?: Strategy | undefined;
}

/** Where the program sees the folder. */
export const MOUNT = '/ledger';
const CACHE_BYTES = 8_388_608;
const PRIVATE_BYTES = 9_437_184;

/** Starts the ledger's enclave with a folder of the host's, protected or plain. */
export async function startLedger({ folder, secret, strategy }: LedgerHost): Promise<LedgerEnclave> {
  const grant = { mount: MOUNT, access: 'read-write' } as const;
  const image = await buildImage(fileURLToPath(new URL('./program.js', import.meta.url)), {
    name: 'sqlite',
    privateMemoryBytes: PRIVATE_BYTES,
    grants: {
      files: [secret === undefined ? grant : { ...grant, protected: true, cacheBytes: CACHE_BYTES }],
    },
  });
  return await Enclave.create<typeof program>(image, {
    directories: { [MOUNT]: folder },
    ...(secret === undefined ? {} : { fileSecret: secret }),
    ...(strategy === undefined ? {} : { strategy }),
  });
}
