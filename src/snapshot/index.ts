export { type AddressSpace, type AddressSpaceRequest, findAddressSpace } from './address-space.ts';
export {
  type BackingDifference,
  type ComparedSpace,
  type CompareOptions,
  compareSpaces,
  type Difference,
  type RightsDifference,
  type SizeDifference,
} from './compare-spaces.ts';
export { type AddressRange, listRanges, type RangeFilter, type RangeOptions } from './list-ranges.ts';
export { GapTotals, type SpaceGap } from './gap-totals.ts';
export { RangeTotals } from './range-totals.ts';
export { type SpaceOptions, spacePieces, type Tables } from './space-pieces.ts';
export {
  droppedGapsError,
  type DroppedGaps,
  findDroppedGaps,
  type PlacedPiece,
  refuseDroppedGaps,
} from './roots/dropped-gaps.ts';
export type { Hole } from './roots/list-heads.ts';
export {
  findRoots,
  type FindRootsOptions,
  type FoundRoot,
  type RootConfidence,
  truncationText,
} from './roots/find-roots.ts';
