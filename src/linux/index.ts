export { type EntryFormat, type EntryMeaning, meaningOf } from './entries/entry-meaning.ts';
export { type EntryContext, longWords, shortWords } from './entries/meaning-words.ts';
export type { SwapDevice } from './entries/swap-devices.ts';
export { type SpecialType, type SwapTypes, swapTypesOf } from './entries/swap-types.ts';
export { Explainer, type LinuxExplanation, explanationText } from './explain.ts';
export { Btf } from './btf/btf.ts';
export type { ImagePiece } from './kernel/find-image.ts';
export { findKernel } from './kernel/find-kernel.ts';
export type { FindKernelOptions, KernelSource, LinuxKernel } from './kernel/kernel.ts';
export { kernelCache, kernelCacheFolder } from './kernel/kernel-cache.ts';
export type { KernelCache, KernelPlaces } from './kernel/kernel-places.ts';
export { areaAt, kernelAreas } from './areas/kernel-areas.ts';
export type { AreaSource, KernelArea } from './areas/area-source.ts';
export type { Steps } from './memory/steps.ts';
export { readElfSymbols } from './symbols/elf-symbols.ts';
export { readKallsyms } from './symbols/kallsyms.ts';
export { type KernelModule, readModules } from './symbols/modules.ts';
export { type KernelPlace, readSymbolFile } from './symbols/symbol-file.ts';
export type { SymbolFile } from './symbols/symbol-file-source.ts';
export {
  addressOfSymbol,
  type KernelSymbol,
  type NamedAddress,
  NO_KERNEL_SYMBOLS,
  symbolText,
  SymbolTable,
} from './symbols/symbol-table.ts';
export { type KernelNames, LinuxGuest, type MappedArea, type MemoryMap, openLinux } from './linux-guest.ts';
export type { AreaPages } from './maps/area-pages.ts';
export { type AreaList, type AreaRights, type MemoryArea, rightsText } from './maps/memory-area.ts';
export { EntryWords } from './watch/entry-words.ts';
export type { EventOwner, ProcessEvent } from './watch/named-areas.ts';
export { type ProcessLifeEvent, type ProcessLifeKind, ProcessLives } from './watch/process-lives.ts';
export { ProcessWatch, type ProcessWatchOptions } from './watch/process-watch.ts';
export {
  areasOfMap,
  isOfMap,
  isWanted,
  type MapChoice,
  matchesName,
  mapText,
  nameOf as mapNameOf,
  type ProcessSelection,
} from './watch/selection.ts';
export type { WatchingSession } from './watch/watched-space.ts';
export type { Process, ProcessList, Thread } from './process/process.ts';
export type { TaskBrief } from './process/task-reader.ts';
export type { TaskState } from './process/task-state.ts';
