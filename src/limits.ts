/** Every bound of the system by name, with its reason. Sizes are in bytes unless the name says otherwise. */

export const PAGE_BYTES = 4096;
export const CACHE_LINE_BYTES = 64;
/** Adjacent lines are fetched in pairs, so words of different writers keep two lines apart. */
export const WORD_STRIDE_BYTES = 128;
export const WASM_PAGE_BYTES = 65_536;

/** Descriptors of a locked-down process: the filter compares one by one, and its jumps reach 255 instructions. */
export const MAX_KEPT_DESCRIPTORS = 100;
