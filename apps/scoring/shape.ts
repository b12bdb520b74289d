/** What both sides know of the data. */

/** Measurements of one flower: length and width of sepal and petal. */
export const COLUMNS = 4;
/** Rows of one batch. */
export const BATCH_ROWS = 4096;
export const INPUT_BYTES: number = BATCH_ROWS * COLUMNS * Float64Array.BYTES_PER_ELEMENT;
export const OUTPUT_BYTES: number = BATCH_ROWS;
/** Pairs of buffers: while batch n is scored, n + 1 is copied in and the result of n - 1 copied out. */
export const SLOTS = 3;
