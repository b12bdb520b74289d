import type { EnclaveOptions } from '../host/enclave-options.ts';

/** One way to make calls, as figures show it. */
export interface Contender {
  readonly strategy: 'direct' | 'exit' | 'exit-sgx' | 'exitless';
  /** Where a modelled cost comes from. */
  readonly model?: string;
  readonly label: string;
  readonly options: EnclaveOptions;
}

/** A published cost of leaving and entering an enclave. */
interface ExitModel {
  readonly model: string;
  readonly cycles: number;
  readonly gigahertz: number;
}

/**
 * Eleos (EuroSys 2017), section 2.2: EEXIT, EENTER and the SDK's glue, on an i7-6700 (3.4 GHz). HotCalls (ISCA
 * 2017), table 1: a warm OCALL, i7-6700K at 4 GHz. After microcode mitigations: Yuhala's thesis, chapter 7, a
 * regular OCALL on an E3-1275 v6 at 3.8 GHz with the stack of 2021.
 */
const models: readonly ExitModel[] = [
  { model: 'Eleos 2017', cycles: 8000, gigahertz: 3.4 },
  { model: 'HotCalls 2017, warm', cycles: 8314, gigahertz: 4 },
  { model: 'patched 2021', cycles: 13_500, gigahertz: 3.8 },
];

export const contenders: readonly Contender[] = [
  { strategy: 'direct', label: 'direct', options: { strategy: 'direct' } },
  { strategy: 'exitless', label: 'exitless', options: { strategy: 'exitless' } },
  { strategy: 'exit', label: 'exit', options: { strategy: 'exit' } },
  ...models.map(({ model, cycles, gigahertz }): Contender => {
    const exitNanoseconds = Math.round(cycles / gigahertz);
    const clock = `${cycles.toLocaleString('en')} cycles at ${gigahertz} GHz`;
    return {
      strategy: 'exit-sgx',
      model: `${model}: ${clock}`,
      label: `exit-sgx (${model})`,
      options: { strategy: 'exit-sgx', exitNanoseconds },
    };
  }),
];
