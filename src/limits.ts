/** Every bound of the system by name, with its reason. Sizes are in bytes unless the name says otherwise. */

export const PAGE_BYTES = 4096;
export const CACHE_LINE_BYTES = 64;
/** Adjacent lines are fetched in pairs, so words of different writers keep two lines apart. */
export const WORD_STRIDE_BYTES = 128;
export const WASM_PAGE_BYTES = 65_536;

/** Descriptors of a locked-down process: the filter compares one by one, and its jumps reach 255 instructions. */
export const KEPT_DESCRIPTORS_MAX = 100;

/** Fits twice over into the locked memory of 8 MiB that an ordinary user often has. */
export const PRIVATE_MEMORY_BYTES_DEFAULT = 1_048_576;
/** The longest typed array that all supported versions of Node make. */
export const PRIVATE_MEMORY_BYTES_MAX = 4_294_967_296;
/** Threads of one enclave: each has a channel of its own and polls. */
export const THREADS_MAX = 16;
/** Names of images stand in messages, process lists and file names. */
export const NAME_LENGTH_MAX = 64;
/** Grants of one kind: they are compared one by one. */
export const GRANTS_MAX = 256;
/** Characters of all input as JSON: it is configuration; data goes through launches and files. */
export const INPUT_LENGTH_MAX = 65_536;
/** A manifest holds input and grants. */
export const MANIFEST_BYTES_MAX = 262_144;
/** A bundled program: it crosses the boundary once and is compiled at start. */
export const CODE_BYTES_MAX = 16_777_216;
