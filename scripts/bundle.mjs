/**
 * `npm run build`, its second half: makes the JavaScript of `dist/`: a file for each export of the package and for the command, and the chunks that they share; and likewise the
 * declarations, of those that `tsc -b src` has written. Few files start faster than many, because Node resolves and reads each of them.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, posix, relative, sep } from 'node:path';
import process from 'node:process';
import { gzipSync } from 'node:zlib';
import { makePage } from './bundle-page.mjs';
import { answerHelp } from './help.mjs';

const ROOT = join(import.meta.dirname, '..');
const SRC = join(ROOT, 'src');
const DIST = join(ROOT, 'dist');
const COMMAND = 'cli/main';
/** Programs: what they do when they are loaded is for their own process. */
const PROGRAMS = [COMMAND, 'drivers/qemu/release/guardian'];
/** The folder of the shared chunks: one level below `dist/`, as `keepPlaces` assumes. */
const CHUNKS = 'chunks';
/** The folder of the declarations that the package has, and the folder in it for those that several exports share. */
const TYPES = 'types';
const SHARED_TYPES = 'shared';

/**
 * Modules that are loaded together share a chunk: the first pattern that matches names it. The bundler splits the rest as it finds best.
 * The parts of `src/` do not depend on each other in a circle, so neither do their chunks.
 *
 * @type {readonly (readonly [pattern: RegExp, name: string])[]}
 */
const CHUNK_NAMES = [
  // What every command needs.
  [
    /^(core\/(?:error|monitor\/events)|sinks\/(text-output|printable|columns|version)|cli\/(?:about|usage-error|commands\/top\/top-sorts)|cli\/exit\/.*|cli\/output\/status-lines)\.ts$/,
    'base',
  ],
  [/^(cli\/options|guest\/discovery)\//, 'options'],
  // What several commands use, and none of them begins with.
  [/^cli\/(?:output\/|live\/output-stall)/, 'output'],
  [/^cli\/snapshot\//, 'inspect'],
  [/^cli\/commands\/translate\/(?!command|run-)/, 'explain'],
  [/^cli\/memory\//, 'memory'],
  [/^cli\/trace\//, 'replay'],
  [/^cli\/web\//, 'web'],
  [/^core\/(monitor\/|index\.ts$)/, 'monitor'],
  [/^core\//, 'core'],
  [/^sinks\/(timeline\/|index\.ts$)/, 'timeline'],
  [/^sinks\/(event-row|jsonl-format)\.ts$/, 'event-text'],
  [/^sinks\//, 'sinks'],
  [/^drivers\/qemu\/launch\//, 'qemu-launch'],
  [/^drivers\/qemu\/exact\//, 'qemu-exact'],
  [/^drivers\/(\w+)\//, 'driver-$1'],
  [/^guest\/discovery\//, 'vms'],
  [/^fleet\/(archive|broker|query)\//, 'fleet-archive'],
  [/^(driver|fleet|guest|linux|session|snapshot|testing|web)\//, '$1'],
  [/^\.\.\/node_modules\/(?:saxes|xmlchars)\//, 'saxes'],
  [/^\.\.\/node_modules\/(?:string-width|strip-ansi|ansi-regex|get-east-asian-width)\//, 'string-width'],
  [/^\.\.\/node_modules\/(?:wrap-ansi|ansi-styles)\//, 'wrap-ansi'],
  [/^\.\.\/node_modules\/(?:hono|@hono)\//, 'hono'],
  [/^\.\.\/node_modules\/([\w-]+)\//, '$1'],
];

/** `core/index` for `./dist/core/index.js`: the exports of the package, and the programs. */
function entryNames() {
  const { exports } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const targets = /** @type {(string | { default: string })[]} */ (Object.values(exports));
  const names = targets.flatMap((target) => {
    const match = typeof target === 'string' ? null : /^\.\/dist\/(.+)\.js$/.exec(target.default);
    return match === null ? [] : [match[1] ?? ''];
  });
  return [...PROGRAMS, ...names];
}

/** The path of a module below `src/`, with slashes. @param {string} id */
function placeOf(id) {
  return relative(SRC, id).replaceAll(sep, '/');
}

/** @param {string} id */
function chunkOf(id) {
  const place = placeOf(id);
  if (PROGRAMS.includes(place.replace(/\.ts$/, ''))) return null;
  for (const [pattern, name] of CHUNK_NAMES) {
    const match = pattern.exec(place);
    if (match !== null) return name.replace('$1', match[1] ?? '');
  }
  return null;
}

/**
 * Modules find files of the package relative to themselves. A chunk is elsewhere, so their `import.meta.url` becomes that of the place
 * that they have in `src/`.
 *
 * @returns {import('rolldown').Plugin}
 */
function keepPlaces() {
  return {
    name: 'keep-places',
    transform(code, id) {
      const place = placeOf(id);
      if (place.startsWith('../') || !code.includes('import.meta.url')) return null;
      const url = `new URL(${JSON.stringify(`../${place}`)}, import.meta.url).href`;
      return { code: code.replaceAll('import.meta.url', url), map: null };
    },
    generateBundle(_options, bundle) {
      for (const file of Object.values(bundle)) {
        if (file.type !== 'chunk' || posix.dirname(file.fileName) === CHUNKS) continue;
        if (file.code.includes('import.meta.url'))
          this.error(`${file.fileName} uses import.meta.url outside ${CHUNKS}/`);
      }
    },
  };
}

/** The chunks that `--version` and every `--help` load. */
const START_CHUNKS = ['base', 'commander', 'definitions', 'options', 'rolldown-runtime'];

/**
 * Fails where the command loads more before it knows what to do.
 *
 * @returns {import('rolldown').Plugin}
 */
function startAtOnce() {
  return {
    name: 'start-at-once',
    generateBundle(_options, bundle) {
      const allowed = new Set(START_CHUNKS.map((name) => `${CHUNKS}/${name}.js`));
      const start = [`${COMMAND}.js`, ...allowed];
      for (const [fileName, file] of start.map((name) => /** @type {const} */ ([name, bundle[name]]))) {
        if (file?.type !== 'chunk') this.error(`there is no ${fileName}: update START_CHUNKS`);
        const more = file.imports.find((name) => name.startsWith(`${CHUNKS}/`) && !allowed.has(name));
        if (more !== undefined)
          this.error(`${fileName} loads ${more} at the start: import only types from there, or load it in the action`);
      }
    },
  };
}

/**
 * Makes the chunks of other packages as small as they can be: nobody reads a stack trace of theirs by its names.
 *
 * @param {typeof import('rolldown/utils').minifySync} minify
 * @returns {import('rolldown').Plugin}
 */
function shrinkPackages(minify) {
  return {
    name: 'shrink-packages',
    renderChunk(code, { fileName, moduleIds }) {
      if (moduleIds.length === 0 || !moduleIds.every((id) => /[\\/]node_modules[\\/]/.test(id))) return null;
      const { code: small } = minify(fileName, code, { module: true, compress: true, mangle: { toplevel: true } });
      return { code: small, map: null };
    },
  };
}

/**
 * Begins each statement and each member of a class in a line of its own. Node prints the line of an error that nobody catches: with one line
 * for each chunk, that is all of its code.
 *
 * @param {typeof import('rolldown/parseAst').parseAst} parse
 * @returns {import('rolldown').Plugin}
 */
function breakLines(parse) {
  return {
    name: 'break-lines',
    generateBundle(_options, bundle) {
      for (const file of Object.values(bundle)) {
        if (file.type !== 'chunk') continue;
        const { code } = file;
        const starts = [...findStarts(parse(code), new Set([0]))].sort((a, b) => a - b);
        file.code = starts.map((start, at) => code.slice(start, starts[at + 1])).join('\n');
      }
    },
  };
}

/**
 * Where statements of a block and members of a class begin, in `starts`.
 *
 * @param {unknown} node of ESTree @param {Set<number>} starts
 */
function findStarts(node, starts) {
  if (typeof node !== 'object' || node === null) return starts;
  const { type, body } = /** @type {{ type?: string, body?: unknown }} */ (node);
  if (type !== undefined && Array.isArray(body)) for (const { start } of body) starts.add(start);
  for (const child of Object.values(node)) findStarts(child, starts);
  return starts;
}

/**
 * Declarations without indentation, and without the names of the modules that they come from: compilers and editors show neither.
 *
 * @returns {import('rolldown').Plugin}
 */
function shrinkDeclarations() {
  return {
    name: 'shrink-declarations',
    generateBundle(_options, bundle) {
      for (const file of Object.values(bundle)) {
        if (file.type !== 'chunk') continue;
        file.code = file.code
          .replaceAll(/^(?:\/\/ dist\/.*|\/\/#(?:end)?region.*)?\n/gm, '')
          .replaceAll(/^ +(?!\*)/gm, '');
      }
    },
  };
}

/** Every file below a folder. @param {string} folder @returns {string[]} */
function filesOf(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name));
}

/** Milliseconds since the epoch; 0 for a file that does not exist. @param {string} path */
function changedAt(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

/** Whether a source, or a folder of sources, has changed since the bundle was made. */
export function isBundleStale() {
  const made = changedAt(join(DIST, `${COMMAND}.js`));
  const sources = [SRC, ...filesOf(SRC), join(ROOT, 'package.json'), import.meta.filename];
  return sources.some((path) => changedAt(path) >= made);
}

/** Makes the bundle, and removes the JavaScript of an earlier one. */
export async function makeBundle() {
  // Not at the top: who only asks whether the bundle is stale does not wait for the bundler.
  const { rolldown } = await import('rolldown');
  const { minifySync } = await import('rolldown/utils');
  const { parseAst } = await import('rolldown/parseAst');
  const build = await rolldown({
    cwd: ROOT,
    input: Object.fromEntries(entryNames().map((name) => [name, join(SRC, `${name}.ts`)])),
    platform: 'node',
    // DuckDB and the client of NATS are for those who query and those who have a broker, and are optional. What reads and writes Parquet is
    // 104 KB that only the agent and the archive use: npm installs it beside the package.
    external: [/^node:/, /^@(?:duckdb|nats-io)\//, /^hyparquet(?:-writer)?$/],
    preserveEntrySignatures: 'allow-extension',
    // The groups decide which chunk a module is in.
    checks: { ineffectiveDynamicImport: false },
    plugins: [keepPlaces(), startAtOnce(), shrinkPackages(minifySync), breakLines(parseAst)],
    // No module of src/ but the programs does anything when it is loaded, so none is loaded for what it only re-exports.
    treeshake: {
      moduleSideEffects: [
        { test: /[\\/]src[\\/](?!cli[\\/]main\.ts|drivers[\\/]qemu[\\/]release[\\/]guardian\.ts)/, sideEffects: false },
      ],
    },
  });
  const { output } = await build.write({
    dir: DIST,
    format: 'esm',
    entryFileNames: '[name].js',
    chunkFileNames: `${CHUNKS}/[name].js`,
    codeSplitting: { groups: [{ debugName: 'parts of src', name: chunkOf }], includeDependenciesRecursively: false },
    // Without white space and comments, and with short names for variables and functions: their names take 75 KB. A stack trace names classes
    // and methods as the sources do.
    minify: {
      compress: { keepNames: { function: false, class: true } },
      mangle: { toplevel: true, keepNames: { function: false, class: true } },
      codegen: true,
    },
    comments: false,
  });
  await build.close();
  const page = await makePage();
  const declarations = new Set(await makeDeclarations());
  for (const path of filesOf(join(DIST, TYPES))) if (path.endsWith('.d.ts') && !declarations.has(path)) rmSync(path);
  // npm obeys it: the declarations of single modules are not for users.
  writeFileSync(join(DIST, '.npmignore'), ['*.map', '*.tsbuildinfo', '*.d.ts', `!/${TYPES}/**`, ''].join('\n'));
  const made = new Set([...output.map(({ fileName }) => join(DIST, fileName))]);
  for (const path of filesOf(DIST)) if (/\.js(\.map)?$/.test(path) && !made.has(path)) rmSync(path);
  writeLicences([...output, ...page]);
  writeManual();
}

/**
 * Joins the declarations of `tsc -b`: a file for each export of the package, and those that they share. What no export refers to is left out.
 *
 * @returns {Promise<string[]>} the paths
 */
async function makeDeclarations() {
  const { rolldown } = await import('rolldown');
  const { dts } = await import('rolldown-plugin-dts');
  const names = entryNames().filter((name) => !PROGRAMS.includes(name));
  const build = await rolldown({
    cwd: ROOT,
    input: Object.fromEntries(names.map((name) => [name, join(DIST, `${name}.d.ts`)])),
    external: [/^node:/],
    plugins: [dts({ dtsInput: true, emitDtsOnly: true, tsconfig: false }), shrinkDeclarations()],
  });
  const { output } = await build.write({
    dir: join(DIST, TYPES),
    format: 'esm',
    chunkFileNames: `${SHARED_TYPES}/[name].d.ts`,
  });
  await build.close();
  return output.map(({ fileName }) => join(DIST, TYPES, fileName));
}

/**
 * The licences of the packages that the bundle contains, which they want to be copied with them.
 *
 * @param {readonly (import('rolldown').OutputChunk | import('rolldown').OutputAsset)[]} output
 */
function writeLicences(output) {
  const modules = output.flatMap((file) => (file.type === 'chunk' ? file.moduleIds : []));
  const packages = new Set(
    modules.flatMap((id) => /^.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+/.exec(id) ?? []),
  );
  /** By the text of the licence without its copyright: what it is of. Most packages have the same one. */
  const licences = new Map();
  for (const folder of [...packages].sort()) {
    const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
    const text = file === undefined ? `License: ${license}` : readFileSync(join(folder, file), 'utf8');
    const isOwner = (/** @type {string} */ line) =>
      /^\s*(?:The MIT License|MIT License|\(?MIT\)?$|copyright|all rights reserved)/i.test(line);
    const lines = text.split('\n');
    const owners = lines.filter((line) => /^\s*copyright/i.test(line)).map((line) => line.trim());
    const body = lines
      .filter((line) => !isOwner(line))
      .join(' ')
      .replaceAll(/\s+/g, ' ')
      .trim();
    const entry = `- ${name} ${version}${owners.map((owner) => `\n  ${owner}`).join('')}`;
    licences.set(body, [...(licences.get(body) ?? []), entry]);
  }
  const texts = [...licences].map(([body, entries]) => `${entries.join('\n')}\n\n${body}\n`);
  writeFileSync(join(DIST, 'THIRD-PARTY.md'), `# Packages that this one contains\n\n${texts.join('\n---\n\n')}`);
}

/** The manual pages, from the definitions of the commands in the bundle. */
function writeManual() {
  const folder = join(DIST, 'man');
  rmSync(folder, { recursive: true, force: true });
  execFileSync(process.execPath, [join(DIST, `${COMMAND}.js`), 'manual', folder], { stdio: 'inherit' });
  // `man` unpacks them: a third of the bytes.
  for (const path of filesOf(folder)) {
    writeFileSync(`${path}.gz`, gzipSync(readFileSync(path), { level: 9 }));
    rmSync(path);
  }
}

if (process.argv[1] === import.meta.filename) {
  answerHelp(import.meta.filename);
  await makeBundle();
}
