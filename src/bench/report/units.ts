/** Figures as people read them: three digits, and the unit that fits. */
const STEPS: readonly (readonly [number, string])[] = [
  [1e9, 's'],
  [1e6, 'ms'],
  [1e3, 'µs'],
  [1, 'ns'],
];

export function formatNanoseconds(nanoseconds: number): string {
  const [scale, unit] = STEPS.find(([step]) => Math.abs(nanoseconds) >= step) ?? [1, 'ns'];
  return `${threeDigits(nanoseconds / scale)} ${unit}`;
}

export function formatBytes(bytes: number): string {
  if (bytes >= 2 ** 20) return `${bytes / 2 ** 20} MiB`;
  return bytes >= 1024 ? `${bytes / 1024} KiB` : `${bytes} B`;
}

/** Times another figure. */
export function formatRatio(ratio: number): string {
  return `${threeDigits(ratio)} ×`;
}

export function threeDigits(value: number): string {
  if (value === 0) return '0';
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return Number(value.toFixed(Math.min(digits, 3))).toLocaleString('en');
}
