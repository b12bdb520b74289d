/**
 * Memory for more than fits in private memory: pages in frames there, sealed in untrusted memory or a file of the
 * host when they leave it. A heap of it, pointers, and containers.
 */
export { type Element, type ElementKind, type ElementsOf, SecureArray } from './memory/array.ts';
export { SecureBlob } from './memory/blob.ts';
export type { MemoryCounters } from './memory/counters.ts';
export type { SecureHeap } from './memory/heap.ts';
export { hashJoin, type Relation } from './memory/join.ts';
export { privateBytesFor } from './memory/layout.ts';
export { SecureMap, type SecureMapOptions } from './memory/map.ts';
export type { MapKeys } from './memory/map-key.ts';
export { SecureNumberMap } from './memory/number-map.ts';
export type { SecurePointer } from './memory/pointer.ts';
export type { PolicyName } from './memory/policy.ts';
export { createHeap, type ProgramHeapOptions, sharedHeap } from './memory/program-heap.ts';
export { sort } from './memory/sort.ts';
