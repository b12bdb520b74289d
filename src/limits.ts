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

/** Entries of a submission or completion ring: both rings of a channel fit the first-level cache together. */
export const RING_ENTRIES = 256;
/** How many entries a reader takes before it says so to the writer; a divisor of RING_ENTRIES. */
export const RING_ACKNOWLEDGE_EVERY = 64;
/** Calls of one channel that may be in flight: 10,000 connections with a receive each, and room beside. */
export const CALLS_IN_FLIGHT_MAX = 16_384;
/** Handles that one channel may hold open. */
export const HANDLES_MAX = 32_768;
/** Channels (enclave threads) of one enclave. */
export const CHANNELS_MAX = 16;
/** Launches of one enclave that may be queued or running. */
export const LAUNCHES_IN_FLIGHT_MAX = 256;
/** Bytes of the encoded arguments of one launch, and of its encoded outcome; bulk data goes through copies. */
export const LAUNCH_PAYLOAD_MAX = 65_536;
/** The text by which an enclave that cannot start says why. */
export const FAILURE_TEXT_MAX = 2048;
/** Sizes of arena blocks and how many of each a channel has. Untouched blocks cost address space only. */
export const ARENA_CLASSES: readonly { readonly bytes: number; readonly blocks: number }[] = [
  { bytes: 256, blocks: 4096 },
  { bytes: 2048, blocks: 16_384 },
  { bytes: 16_384, blocks: 512 },
  { bytes: 65_536, blocks: 128 },
  { bytes: 1_048_576, blocks: 8 },
];
/** The largest payload of one call. */
export const PAYLOAD_MAX = 1_048_576;
/** The largest image, which travels through the first channel's arena. */
export const IMAGE_BYTES_MAX = 33_554_432;

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

/** What one call reads or writes of a file at most: a whole arena block, of which a channel has many. */
export const FILE_TRANSFER_MAX = 65_536;
/** PATH_MAX of Linux without its closing zero. */
export const PATH_BYTES_MAX = 4095;
/** Entries of a directory that are gathered into one array; a host that never ends stops here. */
export const DIRECTORY_ENTRIES_MAX = 1_000_000;
/** Buffers of one gathered or scattered call: IOV_MAX of Linux. */
export const VECTORS_MAX = 1024;
/** Threads for calls that wait for a disk: enough to keep one busy, few enough to start at once. */
export const BLOCKING_THREADS_MAX = 8;
/** Calls handed to those threads at one time, each with a buffer of FILE_TRANSFER_MAX; a power of two. */
export const BLOCKING_CALLS_MAX = 64;
/** How long such a thread waits for work before it ends, in milliseconds: starting one takes some thirty. */
export const BLOCKING_IDLE_MILLISECONDS = 2000;
