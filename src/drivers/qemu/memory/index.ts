export { type GuestMemory, type GuestMemoryOptions, openGuestMemory } from './open-memory.ts';
