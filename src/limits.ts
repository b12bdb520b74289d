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
/** Of these, kept for closing and cancelling, which make room for others. */
export const CALLS_KEPT_FOR_ENDING = 256;
/** Deadlines that are kept before those of answered calls are looked for: fewer than that cost nothing. */
export const DEADLINES_KEPT_MIN = 1024;
/** Deaths of host workers, within so many seconds, that an enclave outlives: more are no accident. */
export const WORKER_DEATHS_MAX = 8;
export const WORKER_DEATHS_SECONDS = 10;
/** How long the channels of a worker are without a call before another worker takes them over. */
export const WORKER_QUIET_MILLISECONDS = 2000;
/** Calls in the file of one trace: some 300 MB, more than viewers show. */
export const TRACED_CALLS_MAX = 1_000_000;
/** Handles that one channel may hold open. */
export const HANDLES_MAX = 32_768;
/** Regions of private memory that threads share by name. */
export const SHARED_REGIONS_MAX = 64;
/** Launches of one enclave thread that are handed over and not yet answered; more wait in the host's queue. */
export const LAUNCHES_IN_FLIGHT_MAX = 256;
/** Entries of the rings of launches and outcomes: every launch in flight, as many cancellations, and what the
 * reader has taken without saying so yet. */
export const LAUNCH_RING_ENTRIES = 1024;
/** Launches of one enclave that may wait in the host: enough to hide any hiccup, too few to fill its memory. */
export const LAUNCHES_QUEUED_MAX = 16_384;
/** Launches that a thread starts before its other tasks get their turn. */
export const LAUNCHES_STARTED_MAX = 32;
/** Arguments and outcomes up to this size lie together, so that many launches touch few pages. */
export const LAUNCH_SMALL_PAYLOAD_MAX = 256;
/** Private buffers of one enclave. */
export const BUFFERS_MAX = 256;
/** What the copy engine moves in one go: long enough to hide its start, short enough to share the engine. */
export const COPY_CHUNK_BYTES = 1_048_576;
/** Pieces of one request to the copy engine; a longer list is split. */
export const COPY_PIECES_MAX = 1024;
/** Bytes that are sealed as one on their way between host and private memory. */
export const SEALED_BLOCK_BYTES = 65_536;
/** Pinned memory of one enclave. Untouched memory costs address space only. */
export const PINNED_BYTES_MAX = 1_073_741_824;
/** Graphs that one thread keeps. */
export const GRAPHS_MAX = 1024;
/** Functions that a program may export. */
export const EXPORTS_MAX = 1024;
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
export const KEPT_DESCRIPTORS_MAX = 100;

/** Fits twice over into the locked memory of 8 MiB that an ordinary user often has. */
export const PRIVATE_MEMORY_BYTES_DEFAULT = 1_048_576;
/** The longest typed array that all supported versions of Node make. */
export const PRIVATE_MEMORY_BYTES_MAX = 4_294_967_296;
/** Untrusted memory for sealed pages: more than most machines have; what is larger belongs in a file. */
export const STORE_BYTES_MAX = 68_719_476_736;
/** Each thread brings six descriptors that a locked-down process keeps, of which there can be KEPT_DESCRIPTORS_MAX. */
export const THREADS_MAX = 12;
/** Names of images stand in messages, process lists and file names. */
export const NAME_LENGTH_MAX = 64;
/** Grants of one kind: they are compared one by one. */
export const GRANTS_MAX = 256;
/** Characters of all input as JSON: it is configuration; data goes through launches and files. */
export const INPUT_LENGTH_MAX = 65_536;
/** A manifest holds input and grants. */
export const MANIFEST_BYTES_MAX = 262_144;
/** A bundled program: it crosses the boundary once and is compiled at start. */

/** A part of a page that is sealed by itself where reads are sparse (Eleos, 3.2: direct access). */
export const SUB_PAGE_BYTES = 1024;
export const TAG_BYTES = 16;
/**
 * What a page occupies in a backing store: four sub-pages each followed by its tag, or one page and one tag.
 * The same slot serves both forms, so a page may change its form whenever it is sealed.
 */
export const STORE_SLOT_BYTES: number = PAGE_BYTES + 4 * TAG_BYTES;
/** Pages that are sealed or opened in one batch of a store; each takes a slot of staging memory. */
export const STORE_BATCH_PAGES = 16;
/**
 * Pages of one heap: a page and its sub-page share a 32-bit word of the nonce (30 and 2 bits). 2^28 pages are
 * a tebibyte.
 */
export const MAXIMUM_HEAP_PAGES: number = 2 ** 28;
/**
 * Seals under one key. A page is at most 260 blocks of AES, so a key sees fewer than 2^41 of them, which keeps
 * an attacker's advantage over AES-GCM below 2^-46 (the birthday bound, NIST SP 800-38D appendix).
 */
export const SEALS_PER_KEY: number = 2 ** 32;
/** A fault may need two frames (a page and the page of its version), and a copy two pages at once. */
export const MINIMUM_CACHE_FRAMES = 6;
/** What the tables hold for each frame, the largest policy included; 64 is checked when they are laid out. */
export const FRAME_TABLE_BYTES = 64;
export const CODE_BYTES_MAX = 16_777_216;

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
/** The buffer cache of a protected mount unless its grant tells: it fits in the private memory that is the default. */
export const PROTECTED_CACHE_BYTES_DEFAULT = 786_432;
/** Room for {@link PROTECTED_FRAMES_MIN} blocks, for a batch of sealed ones, and for the root. */
export const PROTECTED_CACHE_BYTES_MIN = 540_672;
/** Who waits for the lock of a file asks again after so long at most. */
export const FILE_LOCK_PAUSE_MILLISECONDS_MAX = 50;
/** The secret that a host gives an enclave for its protected mounts. */
export const FILE_SECRET_BYTES = 32;
/**
 * Reads and writes of files in the kernel's hands at one time, each with a buffer of FILE_TRANSFER_MAX: as many as the arena has
 * room for; a power of two.
 */
export const URING_CALLS_MAX = 128;
/** Slots of 4 KiB in the store of a protected mount: 8 TiB, and numbers of slots stay positive 32-bit integers. */
export const PROTECTED_SLOTS_MAX: number = 2 ** 31 - 32;
/** Files of a protected mount whose keys are ready: each key costs a derivation and a key schedule. */
export const PROTECTED_CIPHERS = 64;
/** Seals under one key with nonces of 80 random bits: two are equal with a chance below 2^-33 (birthday bound). */
export const PROTECTED_SEALS_PER_KEY: number = 2 ** 24;
/** Blocks of one run between a protected mount and its store: 256 KiB of staging memory. */
export const PROTECTED_BATCH_BLOCKS = 64;
/** Files of one mount: the largest numbers name no file. */
export const PROTECTED_FILES_MAX: number = 2 ** 32 - 16;
/** A directory of 2^20 blocks holds some 30 million names; one that fills up later has colliding names. */
export const PROTECTED_DIRECTORY_BITS_MAX = 20;
/** A change holds the frames of two directories, a file and the table of files, each with its index blocks. */
export const PROTECTED_FRAMES_MIN = 64;
