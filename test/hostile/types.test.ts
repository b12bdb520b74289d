import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import typescript from 'typescript';

/**
 * The types as the first guard: bytes of the boundary reach no parser, no cipher and no program, but through a
 * copy. Programs that try do not compile; and in the trusted rooms no call passes such bytes on in a way that the
 * types of others would let through.
 */
const root = join(import.meta.dirname, '../../..');
const virtual = join(root, 'test/hostile/untrusted-bytes.ts');

const PREAMBLE = `
  import { decode } from '../../src/boundary/decoder.ts';
  import { decodeImage } from '../../src/image/image.ts';
  import { decodeDirectoryEntries } from '../../src/linux/directory-entries.ts';
  import { decodeSocketAddress } from '../../src/linux/socket-address.ts';
  import { privateAddress } from '../../src/linux/addresses.ts';
  import { Stats } from '../../src/enclave/stats.ts';
  import { callSync } from '../../src/enclave/transfer.ts';
  import type { Port } from '../../src/boundary/port.ts';
  import type { Connection, files } from '../../src/enclave.ts';
  declare const port: Port;
  declare const connection: Connection;
  declare const file: files.File;
`;

/** What takes private bytes only, with `bytes` in the place of what is tried. */
const USES = [
  `decode(bytes, 'value', 1);`,
  'decodeImage(bytes);',
  'decodeDirectoryEntries(bytes);',
  'decodeSocketAddress(bytes, 16);',
  'privateAddress(bytes);',
  'new Stats(bytes);',
  'callSync({ kind: 1, handle: 0, view: bytes });',
  'port.copyIn(0, bytes, 0, 1);',
  'port.copyOut(0, bytes, 0, 1);',
  'connection.receive(bytes);',
  'connection.send(bytes);',
  'file.read(bytes);',
  'file.write(bytes);',
];

function compile(text: string): typescript.Program {
  const config = typescript.readConfigFile(join(root, 'tsconfig.json'), typescript.sys.readFile);
  const { options } = typescript.parseJsonConfigFileContent(config.config, typescript.sys, root);
  const host = typescript.createCompilerHost(options);
  const { readFile, fileExists, getSourceFile } = host;
  host.fileExists = (path) => path === virtual || fileExists(path);
  host.readFile = (path) => (path === virtual ? text : readFile(path));
  host.getSourceFile = (path, ...rest) =>
    path === virtual
      ? typescript.createSourceFile(path, text, typescript.ScriptTarget.ES2023, true)
      : getSourceFile(path, ...rest);
  const main = join(root, 'src/enclave/main.ts');
  return typescript.createProgram([virtual, main], { ...options, noEmit: true }, host);
}

/** The lines, counted from the first use, that do not compile. */
function wrongLines(program: typescript.Program, skipped: number): Set<number> {
  const source = program.getSourceFile(virtual) as typescript.SourceFile;
  const wrong = program.getSemanticDiagnostics(source).filter(({ code }) => code === 2345 || code === 2322);
  return new Set(wrong.map(({ start = 0 }) => source.getLineAndCharacterOfPosition(start).line - skipped));
}

const skipped = PREAMBLE.split('\n').length;
const textOver = (buffer: string): string =>
  [PREAMBLE, `declare const bytes: Uint8Array<${buffer}>;`, ...USES].join('\n');

test('untrusted bytes reach no parser, no buffer of a call and no program', () => {
  const program = compile(textOver('SharedArrayBuffer'));
  const expected = USES.map((_, index) => index);
  const found = [...wrongLines(program, skipped + 1)].sort((a, b) => a - b);
  assert.deepEqual(found, expected);
});

test('private bytes do; and no call of the trusted side hands untrusted bytes to what takes either', () => {
  const program = compile(textOver('ArrayBuffer'));
  assert.deepEqual([...wrongLines(program, skipped + 1)], []);
  assert.deepEqual(passedOn(program), [
    'src/enclave/protected/secret.ts: kept.set',
    'src/enclave/start.ts: copy.set',
  ]);
});

/** Calls in the trusted rooms that pass a view of bytes of shared memory to a parameter that takes any. */
function passedOn(program: typescript.Program): string[] {
  const checker = program.getTypeChecker();
  const found = new Set<string>();
  for (const source of program.getSourceFiles()) {
    const path = source.fileName.slice(root.length + 1);
    if (!/^src\/(enclave|boundary|image)\//.test(path)) continue;
    const visit = (node: typescript.Node): void => {
      if (typescript.isCallExpression(node) || typescript.isNewExpression(node)) {
        const parameters = checker.getResolvedSignature(node)?.parameters ?? [];
        for (const [index, argument] of (node.arguments ?? []).entries()) {
          const type = checker.typeToString(checker.getTypeAtLocation(argument));
          const parameter = parameters[index];
          // What is made for untrusted bytes says so in its type.
          if (parameter !== undefined && checker.typeToString(checker.getTypeOfSymbol(parameter)) === type)
            continue;
          if (/^(Uint8Array|DataView|Buffer)<SharedArrayBuffer>$/.test(type)) {
            found.add(`${path}: ${node.expression.getText(source)}`);
          }
        }
      }
      typescript.forEachChild(node, visit);
    };
    visit(source);
  }
  return [...found].sort();
}
