import { stat } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import process from 'node:process';
import { type BuildFailure, type BuildResult, build, type Plugin } from 'esbuild';
import { ImageError } from '../errors.ts';
import { createImage, type Image } from './image.ts';
import { type ManifestInput, parseManifest } from './manifest.ts';

/** The name by which a program asks for the services of its enclave. */
const ENCLAVE_MODULE = 'sgxio/enclave';
/** Where a program is told that it lies: packages ask before they use what they were handed. */
const PROGRAM_URL = '"file:///program"';
/** Where this package keeps that module, compiled and as source, without the ending. */
const ENCLAVE_PATHS = [
  join(import.meta.dirname, '../enclave'),
  join(import.meta.dirname, '../../../src/enclave'),
];

/**
 * Bundles a program and everything that it imports into one image. The entry is a TypeScript or JavaScript
 * module; the functions that it exports can be launched. A `.wasm` file that is imported is its bytes.
 *
 * The same sources and their package.json give the same measurement on any machine and in any folder: other
 * settings (tsconfig.json, NODE_PATH, NODE_ENV) are not read, and no path is left in the code.
 */
export async function buildImage(entry: string, options: ManifestInput): Promise<Image> {
  const manifest = parseManifest(options);
  const path = resolve(entry);
  const status = await stat(path).catch(() => undefined);
  if (status?.isFile() !== true) {
    throw new ImageError('SGXIO_IMAGE_INVALID', `There is no program at ${entry}; name a .ts or .js file.`);
  }
  const result = await bundle(path);
  return createImage(manifest, new TextEncoder().encode(withoutPaths(result)));
}

type Bundle = BuildResult<{ metafile: true; write: false }>;

async function bundle(path: string): Promise<Bundle> {
  const folder = dirname(path);
  try {
    return await build({
      entryPoints: [path],
      absWorkingDir: folder,
      bundle: true,
      write: false,
      metafile: true,
      format: 'cjs',
      platform: 'node',
      target: 'node20',
      charset: 'utf8',
      // Takes out the comments that name each file; names stay, for messages and stack traces.
      minifyWhitespace: true,
      legalComments: 'none',
      // `import()` becomes `require`, which says what a program may not load.
      supported: { 'dynamic-import': false },
      define: { 'process.env.NODE_ENV': '"production"', 'import.meta.url': PROGRAM_URL },
      loader: { '.wasm': 'binary' },
      tsconfigRaw: { compilerOptions: { target: 'es2022', useDefineForClassFields: true } },
      nodePaths: [],
      logLevel: 'silent',
      logOverride: { 'empty-import-meta': 'error' },
      plugins: [enclaveModule],
    });
  } catch (cause) {
    throw new ImageError('SGXIO_IMAGE_INVALID', failureMessage(cause as BuildFailure, folder), { cause });
  }
}

/** Leaves the services of the enclave out of the bundle, however a program names them. */
const enclaveModule: Plugin = {
  name: 'sgxio-enclave',
  setup({ onResolve }) {
    onResolve({ filter: /^sgxio\/enclave$/ }, () => ({ path: ENCLAVE_MODULE, external: true }));
    onResolve({ filter: /^\..*\/enclave\.[jt]s$/ }, ({ path, resolveDir }) =>
      ENCLAVE_PATHS.includes(resolve(resolveDir, path).slice(0, -'.ts'.length))
        ? { path: ENCLAVE_MODULE, external: true }
        : undefined,
    );
    onResolve({ filter: /^sgxio$/ }, () => ({
      errors: [
        { text: `a program cannot import 'sgxio', which is for its host; import '${ENCLAVE_MODULE}'` },
      ],
    }));
  },
};

/** Bundled CommonJS modules are named after their files; a number in the order of appearance takes its place. */
function withoutPaths({ outputFiles, metafile }: Bundle): string {
  const names = new Set(Object.keys(metafile.inputs).map((path) => JSON.stringify(path)));
  let count = 0;
  return outputFiles[0]!.text
    .replace(/^#!.*\n/, '')
    .replaceAll(/__commonJS\(\{("(?:[^"\\]|\\.)*")\(/g, (found, name: string) =>
      names.has(name) ? `__commonJS({"${count++}"(` : found,
    );
}

function failureMessage(failure: BuildFailure, folder: string): string {
  const [error] = failure.errors ?? [];
  if (error === undefined) return `The program cannot be bundled: ${failure.message}`;
  const { location, text } = error;
  const place =
    location === null
      ? ''
      : `${relative(process.cwd(), resolve(folder, location.file))}:${location.line}:${location.column + 1}: `;
  return `The program cannot be bundled: ${place}${text.replaceAll('\n', ' ')}`;
}
