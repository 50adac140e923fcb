/** The page's files, which `npm run build` makes. */
import { existsSync, readFileSync } from 'node:fs';
import { brotliDecompressSync } from 'node:zlib';
import { PtmonError } from '../../core/error.ts';

/** From the package or the sources, and from what the tests compile. */
const FOLDERS = ['../../../dist/web/page/', '../../../../dist/web/page/'].map((path) => new URL(path, import.meta.url));

export interface Assets {
  readonly script: string;
  readonly style: string;
}

/** @throws PtmonError `source-unavailable` where the package was not built */
export function readAssets(): Assets {
  const path = FOLDERS.map((folder) => new URL('page.br', folder)).find((each) => existsSync(each));
  if (path === undefined) {
    const expected = new URL('page.br', FOLDERS[0]).pathname;
    throw new PtmonError(
      'source-unavailable',
      `the web page is not built: ${expected} does not exist; run npm run build`,
    );
  }
  return JSON.parse(brotliDecompressSync(readFileSync(path)).toString('utf8')) as Assets;
}

/** The page around them. @param head what links or contains the style and, at the end, the script */
export function pageHtml(title: string, { head, body }: { readonly head: string; readonly body: string }): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="referrer" content="no-referrer">
<title>${escapeHtml(title)}</title>
${head}
</head>
<body>
<div id="app"><p class="loading">Reading page tables …</p></div>
<noscript>This page draws with JavaScript: allow it for this address.</noscript>
${body}
</body>
</html>
`;
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
