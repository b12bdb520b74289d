import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { KEPT_DESCRIPTORS_MAX } from '../../src/limits.ts';
import { assembleFilter, hasSeccomp } from '../../src/linux/seccomp.ts';

const ALLOW = 0x7fff_0000;
const EPERM = 0x0005_0001;
const KILL_PROCESS = 0x8000_0000;
const X64 = 0xc000_003e;
const ARM64 = 0xc000_00b7;

/** Written down a second time, from the kernel's tables: number by number, what its arguments must be. */
type Check = (values: readonly number[], kept: readonly number[]) => boolean;
const always: Check = () => true;
const firstKept: Check = ([first], kept) => kept.includes(first!);
const mapsAnonymous: Check = ([, , protection, flags]) => (flags! & 0x20) !== 0 && (protection! & 4) === 0;
const plainProtection: Check = ([, , protection]) => protection! >>> 0 <= 7;
const changesPoller: Check = ([poller, , target], kept) => kept.includes(poller!) && kept.includes(target!);

const COMMON = { always, firstKept, mapsAnonymous, plainProtection, changesPoller };
const X64_RULES: Readonly<Record<keyof typeof COMMON, number[]>> = {
  always: [11, 12, 14, 15, 24, 25, 28, 39, 60, 202, 219, 228, 231, 318],
  firstKept: [0, 1, 3, 19, 20, 232, 281],
  mapsAnonymous: [9],
  plainProtection: [10, 329],
  changesPoller: [233],
};
const ARM64_RULES: typeof X64_RULES = {
  always: [215, 214, 135, 139, 124, 216, 233, 172, 93, 98, 128, 113, 94, 278],
  firstKept: [63, 64, 57, 65, 66, 22],
  mapsAnonymous: [222],
  plainProtection: [226, 288],
  changesPoller: [21],
};

const descriptors = fc.uniqueArray(fc.nat({ max: 70_000 }), { maxLength: KEPT_DESCRIPTORS_MAX });
const word = fc.oneof(fc.nat({ max: 255 }), fc.integer({ min: 0, max: 0xffff_ffff }));

for (const [arch, audit, rules] of [
  ['x64', X64, X64_RULES],
  ['arm64', ARM64, ARM64_RULES],
] as const) {
  test(`the filter for ${arch} decides as the rules say`, () => {
    const number = fc.oneof(fc.nat({ max: 470 }), fc.constantFrom(...Object.values(rules).flat()));
    fc.assert(
      fc.property(
        descriptors,
        number,
        fc.array(word, { minLength: 6, maxLength: 6 }),
        (kept, call, values) => {
          const hinted = kept.length > 0 && values[5]! % 2 === 0 ? [kept[0]!, values[1]!, kept.at(-1)!] : [];
          const given = [...hinted, ...values.slice(hinted.length)];
          const kind = (Object.keys(rules) as (keyof typeof COMMON)[]).find((name) =>
            rules[name].includes(call),
          );
          const expected = kind !== undefined && COMMON[kind](given, kept) ? ALLOW : EPERM;
          assert.equal(evaluate(assembleFilter(arch, kept), audit, call, given), expected);
        },
      ),
      { numRuns: 2000 },
    );
  });

  test(`the filter for ${arch} kills a call of another architecture and refuses those of x32`, () => {
    const program = assembleFilter(arch, [1]);
    assert.equal(evaluate(program, 0x4000_0003, 1, []), KILL_PROCESS);
    assert.equal(evaluate(program, audit, 0x4000_0000 + rules.always[0]!, []), EPERM);
  });
}

test('more descriptors than the filter can name are refused', () => {
  const many = Array.from({ length: KEPT_DESCRIPTORS_MAX + 1 }, (_, index) => index);
  assert.throws(() => assembleFilter('x64', many), { code: 'SGXIO_UNSUPPORTED_MACHINE' });
});

test('the kernel that runs this test has seccomp', () => assert.equal(hasSeccomp(), true));

/** Runs classic BPF as `bpf_check_classic` and `seccomp_check_filter` of the kernel define it. */
function evaluate(
  program: Uint8Array,
  architecture: number,
  call: number,
  values: readonly number[],
): number {
  const data = new DataView(new ArrayBuffer(64));
  data.setUint32(0, call, true);
  data.setUint32(4, architecture, true);
  values.forEach((value, index) => {
    data.setUint32(16 + index * 8, value, true);
  });
  const code = new DataView(program.buffer, program.byteOffset, program.byteLength);
  let accumulator = 0;
  for (let at = 0; ; at += 8) {
    const operand = code.getUint32(at + 4, true);
    const jump = (taken: boolean) => 8 * code.getUint8(taken ? at + 2 : at + 3);
    const operation = code.getUint16(at, true);
    if (operation === 0x20) accumulator = data.getUint32(operand, true);
    else if (operation === 0x15) at += jump(accumulator === operand);
    else if (operation === 0x45) at += jump((accumulator & operand) !== 0);
    else if (operation === 0x06) return operand;
    else assert.fail(`unknown instruction ${operation}`);
  }
}
