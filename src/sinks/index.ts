export { type ConsoleOptions, consoleSink } from './console.ts';
export { type JsonlOptions, jsonlSink } from './jsonl.ts';
export { endLine, eventLine, type HeaderOptions, headerLine, JSONL_VERSION } from './jsonl-format.ts';
export type { Sink, SourceInfo, Statistics, Summary } from './sink.ts';
export { TextOutput } from './text-output.ts';
export { VERSION } from './version.ts';
