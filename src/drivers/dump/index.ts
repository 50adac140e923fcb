export type { DumpFormatName } from './format.ts';
export { type Dump, type DumpOptions, openDump } from './open-dump.ts';
