export { type GuestMemory, type GuestMemoryKind, type GuestMemoryOptions, openGuestMemory } from './open-memory.ts';
export { listRamBackends, type RamBackend } from './ram-backends.ts';
export { RAM_FILE_FLAGS } from './ram-file.ts';
