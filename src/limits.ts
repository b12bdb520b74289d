/** Every bound of the system by name, with its reason. Sizes are in bytes unless the name says otherwise. */

export const PAGE_BYTES = 4096;
export const CACHE_LINE_BYTES = 64;
/** Adjacent lines are fetched in pairs, so words of different writers keep two lines apart. */
export const WORD_STRIDE_BYTES = 128;
export const WASM_PAGE_BYTES = 65_536;

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
