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

/** Descriptors of a locked-down process: the filter compares one by one, and its jumps reach 255 instructions. */
export const MAX_KEPT_DESCRIPTORS = 100;

/** Fits twice over into the locked memory of 8 MiB that an ordinary user often has. */
export const DEFAULT_PRIVATE_MEMORY_BYTES = 1_048_576;
/** The longest typed array that all supported versions of Node make. */
export const MAX_PRIVATE_MEMORY_BYTES = 4_294_967_296;
/** Each thread has a channel and polls: more than this no machine at hand runs at once. */
export const MAX_THREADS = 64;
/** Names of images stand in messages, process lists and file names. */
export const MAX_NAME_LENGTH = 64;
/** Grants of one kind: they are compared one by one. */
export const MAX_GRANTS = 256;
/** Input is configuration; data goes through launches and files. */
export const MAX_INPUT_BYTES = 65_536;
/** A manifest holds input and grants. */
export const MAX_MANIFEST_BYTES = 262_144;
/** A bundled program: it crosses the boundary once and is compiled at start. */
export const MAX_CODE_BYTES = 16_777_216;
