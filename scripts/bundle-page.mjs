/**
 * Makes the web page of `dist/`: one script and one style, which the server sends and the report contains. They are one compressed file, a
 * third as large.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { brotliCompressSync } from 'node:zlib';

const ROOT = join(import.meta.dirname, '..');
const PAGE = join(ROOT, 'src/web/page');
const TARGET = join(ROOT, 'dist/web/page');

/** @returns {Promise<readonly (import('rolldown').OutputChunk | import('rolldown').OutputAsset)[]>} what was made */
export async function makePage() {
  const { rolldown } = await import('rolldown');
  const build = await rolldown({
    cwd: ROOT,
    input: { app: join(PAGE, 'main.tsx') },
    platform: 'browser',
    transform: { target: 'es2022' },
  });
  const { output } = await build.generate({
    // A report is opened from a file, and a module script of a page without an origin is refused by some browsers.
    format: 'iife',
    entryFileNames: '[name].js',
    minify: true,
    comments: false,
  });
  await build.close();
  const chart = readFileSync(createRequire(import.meta.url).resolve('uplot/dist/uPlot.min.css'), 'utf8');
  const style = `${chart.trim()}\n${smaller(readFileSync(join(PAGE, 'app.css'), 'utf8'))}`;
  const script = output.map((file) => (file.type === 'chunk' ? file.code : '')).join('\n');
  mkdirSync(TARGET, { recursive: true });
  writeFileSync(join(TARGET, 'page.br'), brotliCompressSync(JSON.stringify({ script, style })));
  return output;
}

/** Without comments, indents and line feeds. @param {string} css */
function smaller(css) {
  return css
    .replaceAll(/\/\*[^]*?\*\//g, '')
    .replaceAll(/\s+/g, ' ')
    .replaceAll(/ ?([{};,]) ?/g, '$1')
    .trim();
}
