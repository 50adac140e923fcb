export type { SessionOptions } from './options.ts';
export { openSession, type Session } from './session.ts';
export type { SystemLayer } from './system-layer.ts';
export type { SessionWatchRequest, Watch } from './watch/watch.ts';
