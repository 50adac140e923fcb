/** What belongs to each command. They share a chunk of the package: each is small, and a file costs more to load than they do. */
import { defineAgentWorker } from './agent-worker/command.ts';
import { defineAgent } from './agent/command.ts';
import { defineArchive } from './archive/command.ts';
import { defineComplete } from './complete/command.ts';
import { defineCompletion } from './completion/command.ts';
import { defineDemo } from './demo/command.ts';
import { defineDiff } from './diff/command.ts';
import { defineDoctor } from './doctor/command.ts';
import { defineDump } from './dump/command.ts';
import { defineExport } from './export/command.ts';
import { defineManual } from './manual/command.ts';
import { defineMap } from './map/command.ts';
import { defineMaps } from './maps/command.ts';
import { definePs } from './ps/command.ts';
import { defineQuery } from './query/command.ts';
import { defineRead } from './read/command.ts';
import { defineRepl } from './repl/command.ts';
import { defineReplay } from './replay/command.ts';
import { defineReport } from './report/command.ts';
import { defineRoots } from './roots/command.ts';
import { defineRun } from './run/command.ts';
import { defineScript } from './script/command.ts';
import { defineSearch } from './search/command.ts';
import { defineServe } from './serve/command.ts';
import { defineStat } from './stat/command.ts';
import { defineTop } from './top/command.ts';
import { defineTranslate } from './translate/command.ts';
import { defineVms } from './vms/command.ts';
import { defineWatch } from './watch/command.ts';
import type { CommandName, Definition } from '../context.ts';

export const DEFINITIONS: Readonly<Record<CommandName, Definition>> = {
  demo: defineDemo,
  run: defineRun,
  vms: defineVms,
  watch: defineWatch,
  ps: definePs,
  maps: defineMaps,
  read: defineRead,
  search: defineSearch,
  dump: defineDump,
  script: defineScript,
  repl: defineRepl,
  replay: defineReplay,
  export: defineExport,
  stat: defineStat,
  translate: defineTranslate,
  map: defineMap,
  diff: defineDiff,
  top: defineTop,
  serve: defineServe,
  agent: defineAgent,
  archive: defineArchive,
  query: defineQuery,
  'agent-worker': defineAgentWorker,
  report: defineReport,
  roots: defineRoots,
  doctor: defineDoctor,
  completion: defineCompletion,
  complete: defineComplete,
  manual: defineManual,
};
