/** Which file imports which: read from tokens, not from a syntax tree. Types, re-exports and `import()` count as any other import. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, posix, sep } from 'node:path';

/** @typedef {{ text: string, line: number }} Token */
/** @typedef {{ tokens: Token[], imports: Token[] }} SourceFile */
/** @typedef {ReadonlyMap<string, SourceFile>} Sources each file, relative to the root with `/` */

const TOKEN = /\/\/.*|\/\*[^]*?\*\/|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\[^]|[^`\\])*`|[A-Za-z_$][\w$]*|\S/g;

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

/** @param {string} root @param {readonly string[]} folders of it, each may be absent @returns {Sources} */
export function readSources(root, folders) {
  /** @type {Map<string, SourceFile>} */
  const sources = new Map();
  for (const folder of folders) {
    for (const file of filesOf(join(root, folder))) {
      const tokens = tokensOf(readFileSync(join(root, folder, file), 'utf8'));
      sources.set(posix.join(folder, file), { tokens, imports: importsOf(tokens) });
    }
  }
  return sources;
}

/** @param {string} folder */
function filesOf(folder) {
  try {
    const all = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((file) => file.replaceAll(sep, '/'));
    return all.filter((file) => /\.[cm]?[jt]sx?$/.test(file) && !file.includes('node_modules/')).sort();
  } catch {
    return [];
  }
}

/** Where a relative import leads. @param {string} file @param {string} specifier */
export function targetOf(file, specifier) {
  return posix.join(posix.dirname(file), specifier);
}

/**
 * The files that each file imports.
 *
 * @param {Sources} sources
 * @param {string} [folder] only files below it, such as `src/core/monitor/`
 * @returns {Map<string, string[]>}
 */
function edgesOf(sources, folder = '') {
  const edges = new Map();
  for (const [file, { imports }] of sources) {
    if (!file.startsWith(folder)) continue;
    const targets = imports.filter(({ text }) => text.startsWith('.')).map(({ text }) => targetOf(file, text));
    edges.set(
      file,
      [...new Set(targets)].filter((target) => target.startsWith(folder) && sources.has(target)),
    );
  }
  return edges;
}

/**
 * The import circles: of each group of files that all lead to each other, the shortest way from one of them back to itself.
 *
 * @param {Sources} sources
 * @returns {string[][]} each circle's files in the order of the imports, without the first at the end
 */
export function circlesOf(sources) {
  const edges = edgesOf(sources);
  const reported = new Set();
  const circles = [];
  for (const file of edges.keys()) {
    if (reported.has(file)) continue;
    const circle = wayBack(edges, file);
    if (circle === undefined) continue;
    circles.push(circle);
    // What leads to this file and is led to by it belongs to the same group: one report for all of them.
    for (const other of reachable(edges, file)) if (reachable(edges, other).has(file)) reported.add(other);
  }
  return circles;
}

/** @param {Map<string, string[]>} edges @param {string} from @returns {string[] | undefined} */
function wayBack(edges, from) {
  /** @type {Map<string, string | undefined>} */
  const before = new Map([[from, undefined]]);
  for (const file of before.keys()) {
    for (const next of edges.get(file) ?? []) {
      if (next !== from) {
        if (!before.has(next)) before.set(next, file);
        continue;
      }
      const way = [];
      for (let each = /** @type {string | undefined} */ (file); each !== undefined; each = before.get(each))
        way.unshift(each);
      return way;
    }
  }
  return undefined;
}

/** @param {Map<string, string[]>} edges @param {string} from @returns {Set<string>} */
function reachable(edges, from) {
  const found = new Set([from]);
  for (const file of found) for (const next of edges.get(file) ?? []) found.add(next);
  return found;
}

/**
 * The longest chain of imports within a folder: its files stand on so many floors. The folder must have no circle.
 *
 * @param {Sources} sources
 * @param {string} folder with `/` at its end
 * @returns {string[]} from the top to the ground
 */
export function longestChain(sources, folder) {
  const edges = edgesOf(sources, folder);
  /** @type {Map<string, string[]>} */
  const chains = new Map();
  /** @param {string} file @returns {string[]} */
  const chainOf = (file) => {
    const known = chains.get(file);
    if (known !== undefined) return known;
    const below = (edges.get(file) ?? []).map(chainOf);
    const chain = [file, ...below.reduce((longest, each) => (each.length > longest.length ? each : longest), [])];
    chains.set(file, chain);
    return chain;
  };
  return [...edges.keys()].map(chainOf).reduce((longest, each) => (each.length > longest.length ? each : longest), []);
}
