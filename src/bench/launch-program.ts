/** What the suite of launches runs inside. */

export function nothing(): void {}

export function add(left: number, right: number): number {
  return left + right;
}
