/** Prints how many lines of source an enclave has to trust, by room: comments and blank lines do not count. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import typescript from 'typescript';

const TRUSTED = [
  'src/enclave',
  'src/enclave.ts',
  'src/boundary',
  'src/linux',
  'src/image/image.ts',
  'src/image/manifest.ts',
  'src/errors.ts',
  'src/limits.ts',
];

const root = join(import.meta.dirname, '../..');
const counts = TRUSTED.map((path) => ({ path, lines: filesOf(path).map(countLines).reduce(sum, 0) }));
for (const { path, lines } of [
  ...counts,
  { path: 'total', lines: counts.map(({ lines }) => lines).reduce(sum, 0) },
]) {
  console.log(`${String(lines).padStart(6)}  ${path}`);
}

function filesOf(path: string): string[] {
  const full = join(root, path);
  const status = statSync(full, { throwIfNoEntry: false });
  if (status === undefined) return [];
  if (status.isFile()) return [full];
  return readdirSync(full, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => join(full, file));
}

/** Lines on which a token starts or ends. */
function countLines(path: string): number {
  const source = typescript.createSourceFile(
    path,
    readFileSync(path, 'utf8'),
    typescript.ScriptTarget.Latest,
  );
  const lines = new Set<number>();
  const visit = (node: typescript.Node): void => {
    const children = node.getChildren(source).filter((child) => !typescript.isJSDoc(child));
    for (const child of children) visit(child);
    if (children.length > 0 || node.getWidth(source) === 0) return;
    const first = source.getLineAndCharacterOfPosition(node.getStart(source)).line;
    const last = source.getLineAndCharacterOfPosition(node.end).line;
    for (let line = first; line <= last; line++) lines.add(line);
  };
  visit(source);
  return lines.size;
}

function sum(left: number, right: number): number {
  return left + right;
}
