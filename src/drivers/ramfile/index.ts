export { openRamFile, type RamFileOptions } from './driver.ts';
export { type MemoryPart, PositionedMemory, type PositionedMemoryOptions } from './positioned-memory.ts';
export type { PositionedSource } from './positioned-source.ts';
export { RamFile } from './ram-file.ts';
export { formatByteLength, formatRamMap, parseRamMap, pcRegions, plainRegions, sizeText } from './ram-map.ts';
export { type RamRegion, RamRegions } from './ram-regions.ts';
export type { Sampling } from './sampling.ts';
export { type SampledMemory, SamplingDriver, type SamplingOptions } from './sampling-driver.ts';
