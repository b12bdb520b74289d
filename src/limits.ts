/** Every bound of the system by name, with its reason. Sizes are in bytes unless the name says otherwise. */

/** How deep arrays and objects of an encoded value may nest: no stack grows with what a peer sends. */
export const ENCODING_DEPTH_MAX = 64;
/** Bytes of an encoded bigint: RSA-8192 fits, and arithmetic on what a peer sends stays quick. */
export const ENCODING_BIGINT_MAX = 1024;

export const PAGE_BYTES = 4096;
export const CACHE_LINE_BYTES = 64;
/** Adjacent lines are fetched in pairs, so words of different writers keep two lines apart. */
export const WORD_STRIDE_BYTES = 128;
export const WASM_PAGE_BYTES = 65_536;
