/**
 * `npm run lint`, its second half: fails where a file of src/ imports against the direction of the architecture, where files import each other in a circle, where the
 * core stops being synchronous and free of I/O, and where a folder grows too high or too wide: `node scripts/check-imports.mjs [ROOT]`.
 *
 * The project references already keep the big pieces apart. This check knows the finer lines inside them, and says in
 * one sentence what the compiler says in three.
 */
import { join, posix } from 'node:path';
import process from 'node:process';
import { answerHelp } from './help.mjs';
import { circlesOf, longestChain, readSources, targetOf } from './imports/graph.mjs';

answerHelp(import.meta.filename);

/** What has no import circle. */
const FOLDERS = ['src', 'bench', 'scripts', 'guest', 'test'];

/** Files of one folder of src/. A folder of more wants rooms. */
const MAX_FILES = 14;

/** A newcomer reads the monitor from the top down: so many files deep. */
const FLOORS = { folder: 'src/core/monitor/', max: 6 };

/** What every part above the core may use of it, whatever it does with the monitor. */
const BELOW_MONITOR = ['core/error.ts', 'core/address/', 'core/memory/', 'core/paging/', 'core/struct/'];

/**
 * The parts of src/, and what each may import besides itself. A part ends in `/` or is one file; a file belongs to the
 * first part that it is in. `*` is one folder name: each driver is a part of its own.
 *
 * @type {readonly (readonly [part: string, mayImport: readonly string[]])[]}
 */
const PARTS = [
  ['core/error.ts', []],
  ['core/address/', ['core/error.ts']],
  ['core/struct/', ['core/error.ts', 'core/address/']],
  ['core/memory/', ['core/error.ts', 'core/address/', 'core/struct/']],
  ['core/paging/', ['core/error.ts', 'core/address/', 'core/struct/', 'core/memory/']],
  ['core/monitor/events.ts', ['core/address/', 'core/paging/', 'core/struct/']],
  ['core/monitor/', [...BELOW_MONITOR, 'core/monitor/events.ts']],
  ['core/', ['core/']],
  ['driver/', BELOW_MONITOR],
  // QEMU's memory is read as a RAM file is.
  ['drivers/qemu/', [...BELOW_MONITOR, 'driver/', 'drivers/ramfile/']],
  // So is a dump.
  ['drivers/dump/', [...BELOW_MONITOR, 'driver/', 'drivers/ramfile/']],
  ['drivers/*/', [...BELOW_MONITOR, 'driver/']],
  // For people who write a driver: a simulated machine and its guest.
  ['testing/', [...BELOW_MONITOR, 'driver/']],
  // What the guest's operating system knows, whatever the source.
  ['linux/', ['core/', 'driver/']],
  // What a sink is, beside what a driver is: the session knows both contracts and no implementation of either.
  ['sinks/sink.ts', ['core/monitor/events.ts']],
  ['sinks/', ['sinks/sink.ts', 'core/error.ts', 'core/address/', 'core/paging/', 'core/monitor/events.ts']],
  ['session/', ['core/', 'driver/', 'sinks/sink.ts']],
  ['snapshot/', [...BELOW_MONITOR, 'driver/']],
  // The front door: everything above uses this.
  ['guest/', ['core/', 'driver/', 'drivers/', 'linux/', 'session/', 'snapshot/']],
  // The picture is data and arithmetic: the server, the page and the report share it.
  ['web/picture/', []],
  ['web/page/', ['web/picture/']],
  ['web/', ['web/picture/', 'core/', 'driver/', 'drivers/', 'guest/', 'linux/', 'session/', 'sinks/', 'snapshot/']],
  // An agent supervises; what its processes do is given to it as a program.
  [
    'fleet/',
    [
      'core/error.ts',
      'core/address/',
      'core/paging/rights.ts',
      'core/monitor/events.ts',
      'driver/make-folder.ts',
      'guest/',
      'linux/',
      'sinks/',
    ],
  ],
  ['cli/', ['']],
  ['index.ts', ['core/', 'driver/', 'drivers/', 'linux/', 'session/', 'sinks/', 'snapshot/']],
];

/** Words that mean waiting or I/O: not in the core. */
const NOT_IN_CORE = new Set(
  (
    'async await Promise AsyncIterable AsyncIterator AsyncGenerator ' +
    'setTimeout setInterval setImmediate queueMicrotask process console fetch'
  ).split(' '),
);

/** @param {string} file relative to src/ @returns {{ name: string, mayImport: readonly string[] } | undefined} */
function partOf(file) {
  for (const [pattern, mayImport] of PARTS) {
    const match = new RegExp(
      `^${pattern.replaceAll('.', '\\.').replace('*', '[^/]+')}${pattern.endsWith('/') ? '' : '$'}`,
    );
    const name = match.exec(file)?.[0];
    if (name !== undefined) return { name, mayImport };
  }
  return undefined;
}

/**
 * What is wrong with one import, in words; undefined where nothing is.
 *
 * @param {string} file relative to src/
 * @param {{ name: string, mayImport: readonly string[] }} part that `file` is in
 * @param {string} specifier
 */
function faultOf(file, part, specifier) {
  if (!specifier.startsWith('.')) {
    if (file.startsWith('core/')) return `the core imports "${specifier}", but may import nothing outside itself`;
    if (/^ptmon(\/|$)/.test(specifier))
      return `imports its own package as "${specifier}"; a relative path shows where to`;
    return undefined;
  }
  const target = targetOf(file, specifier);
  if (target.startsWith('../')) return `imports "${specifier}", which is outside src/`;
  const into = partOf(target);
  if (into?.name === part.name || part.mayImport.some((allowed) => target.startsWith(allowed))) return undefined;
  return `${part.name} may not import ${target}`;
}

/**
 * @param {string} file relative to src/
 * @param {import('./imports/graph.mjs').SourceFile} source
 * @returns {{ line: number, fault: string }[]}
 */
function faultsOf(file, { tokens, imports }) {
  const part = partOf(file);
  if (part === undefined)
    return [{ line: 1, fault: 'is in no part that scripts/check-imports.mjs knows; add it there' }];
  const faults = [];
  for (const { text, line } of imports) {
    const fault = faultOf(file, part, text);
    if (fault !== undefined) faults.push({ line, fault });
  }
  if (file.startsWith('core/')) {
    for (const [index, { text, line }] of tokens.entries()) {
      const isName = tokens[index - 1]?.text === '.' || tokens[index + 1]?.text === ':';
      if (NOT_IN_CORE.has(text) && !isName)
        faults.push({ line, fault: `the core uses ${text}: it is synchronous, without I/O` });
    }
  }
  return faults;
}

const root = process.argv[2] ?? join(import.meta.dirname, '..');
const sources = readSources(root, FOLDERS);
/** @type {string[]} */
const faults = [];
/** @type {Map<string, number>} */
const filesIn = new Map();
let count = 0;
for (const [path, source] of sources) {
  if (!path.startsWith('src/')) continue;
  count += 1;
  for (const { line, fault } of faultsOf(path.slice('src/'.length), source)) faults.push(`${path}:${line}: ${fault}`);
  filesIn.set(posix.dirname(path), (filesIn.get(posix.dirname(path)) ?? 0) + 1);
}
for (const [folder, files] of filesIn) {
  if (files > MAX_FILES)
    faults.push(`${folder}: has ${files} files, at most ${MAX_FILES}; move some to a folder of their own`);
}
const circles = circlesOf(sources);
for (const circle of circles) {
  const [first, second] = [circle[0] ?? '', circle[1] ?? circle[0]];
  const line = sources.get(first)?.imports.find(({ text }) => targetOf(first, text) === second)?.line;
  faults.push(`${first}:${line}: imports in a circle: ${[...circle, first].join(' -> ')}`);
}
if (circles.length === 0) {
  const chain = longestChain(sources, FLOORS.folder);
  if (chain.length > FLOORS.max)
    faults.push(`${FLOORS.folder}: stands on ${chain.length} floors, at most ${FLOORS.max}: ${chain.join(' -> ')}`);
}
for (const fault of faults) process.stdout.write(`${fault}\n`);
if (faults.length === 0) process.stdout.write(`${count} files import only what they may\n`);
process.exitCode = faults.length === 0 ? 0 : 1;
