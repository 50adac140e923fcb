export type { CaptureMode, TraceAbout } from './format/about.ts';
export type {
  CallRecord,
  Capture,
  ChangesRecord,
  EndRecord,
  LeftRecord,
  NamesRecord,
  NoMemoryRecord,
  NoteRecord,
  RegistersRecord,
  SaidRecord,
  SlotChange,
  StateRecord,
  StepRecord,
  TableRecord,
} from './format/records.ts';
export { type RecordOptions, recordTrace, type TraceRecorder } from './record/recorder.ts';
export type { ReplayLimits } from './replay/limits.ts';
export { type OpenedTrace, openTrace, TraceDriver, type TraceOptions } from './replay/trace-driver.ts';
export { type TraceInstant, TraceReader } from './replay/trace-reader.ts';
export { openTraceSnapshot, type TraceSnapshotOptions } from './replay/trace-snapshot.ts';
export { isTraceFile } from './is-trace-file.ts';
