/**
 * Fails where a file of src/ imports against the direction of the architecture, or where the core stops being
 * synchronous and free of I/O: `node scripts/check-imports.mjs [ROOT]`.
 *
 * The project references already keep the big pieces apart. This check knows the finer lines inside them, and says in
 * one sentence what the compiler says in three. It reads tokens, not a syntax tree.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join, posix, sep } from 'node:path';
import process from 'node:process';

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

const TOKEN = /\/\/.*|\/\*[^]*?\*\/|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\[^]|[^`\\])*`|[A-Za-z_$][\w$]*|\S/g;

/** @typedef {{ text: string, line: number }} Token */

/** The tokens of a source text, comments left out. @param {string} source @returns {Token[]} */
function tokensOf(source) {
  const tokens = [];
  let line = 1;
  let from = 0;
  for (const { 0: text, index } of source.matchAll(TOKEN)) {
    for (; from < index; from += 1) if (source[from] === '\n') line += 1;
    if (!text.startsWith('//') && !text.startsWith('/*')) tokens.push({ text, line });
  }
  return tokens;
}

/**
 * The modules that a file names: `from '…'`, `import '…'`, `import('…')`.
 *
 * @param {Token[]} tokens
 * @returns {Token[]}
 */
function importsOf(tokens) {
  const found = [];
  for (const [index, { text, line }] of tokens.entries()) {
    if (!/^['"`]/.test(text)) continue;
    const before = tokens[index - 1]?.text;
    const called = before === '(' && ['import', 'require'].includes(tokens[index - 2]?.text ?? '');
    if (called || before === 'from' || before === 'import') found.push({ text: text.slice(1, -1), line });
  }
  return found;
}

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
  const target = posix.join(posix.dirname(file), specifier);
  if (target.startsWith('../')) return `imports "${specifier}", which is outside src/`;
  const into = partOf(target);
  if (into?.name === part.name || part.mayImport.some((allowed) => target.startsWith(allowed))) return undefined;
  return `${part.name} may not import ${target}`;
}

/** @param {string} file relative to src/ @param {string} source @returns {{ line: number, fault: string }[]} */
function faultsOf(file, source) {
  const part = partOf(file);
  if (part === undefined)
    return [{ line: 1, fault: 'is in no part that scripts/check-imports.mjs knows; add it there' }];
  const tokens = tokensOf(source);
  const faults = [];
  for (const { text, line } of importsOf(tokens)) {
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
const files = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .map((file) => file.replaceAll(sep, '/'))
  .filter((file) => /\.[cm]?tsx?$/.test(file))
  .sort();
let count = 0;
for (const file of files) {
  for (const { line, fault } of faultsOf(file, readFileSync(join(root, 'src', file), 'utf8'))) {
    process.stdout.write(`src/${file}:${line}: ${fault}\n`);
    count += 1;
  }
}
if (count === 0) process.stdout.write(`${files.length} files import only what they may\n`);
process.exitCode = count === 0 ? 0 : 1;
