/** Text in columns of a terminal, in which some characters take two and some none. */
import stringWidth from 'string-width';

/** Characters that take one column each: most text, which is measured at once. */
const SINGLE = /^[\x20-\x7e\xa1-\xac\xae-\u02ff…→←×─]*$/;

export function widthOf(text: string): number {
  return SINGLE.test(text) ? text.length : stringWidth(text);
}

/** The text with spaces behind it, `width` columns in all; a longer text is returned as it is. */
export function pad(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - widthOf(text)));
}

/** At most `width` columns: the text, or its beginning and an ellipsis. */
export function fitLine(text: string, width: number): string {
  return widthOf(text) <= width ? text : fit(text, width);
}

/** Exactly `width` columns: the text with spaces behind it, or its beginning and an ellipsis. */
export function fit(text: string, width: number): string {
  if (widthOf(text) <= width) return pad(text, width);
  return width === 0 ? '' : pad(`${beginning(graphemesOf(text), width - 1)}…`, width);
}

/** At most `width` columns: the end of the text behind an ellipsis. */
export function fitEnd(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  if (width === 0) return '';
  const graphemes = graphemesOf(text).reverse();
  const count = countIn(graphemes, width - 1);
  return `…${graphemes.slice(0, count).reverse().join('')}`;
}

/** At most `width` columns of a path: its last names behind an ellipsis, as `…/bin/busybox`. */
export function fitPath(path: string, width: number): string {
  if (widthOf(path) <= width) return path;
  for (let at = path.indexOf('/', 1); at !== -1; at = path.indexOf('/', at + 1)) {
    const short = `…${path.slice(at)}`;
    if (widthOf(short) <= width) return short;
  }
  return fitEnd(path, width);
}

function beginning(graphemes: readonly string[], width: number): string {
  return graphemes.slice(0, countIn(graphemes, width)).join('');
}

/** How many of them fit. */
function countIn(graphemes: readonly string[], width: number): number {
  let used = 0;
  for (const [index, grapheme] of graphemes.entries()) {
    used += widthOf(grapheme);
    if (used > width) return index;
  }
  return graphemes.length;
}

function graphemesOf(text: string): string[] {
  return SINGLE.test(text) ? text.split('') : Array.from(new Intl.Segmenter().segment(text), ({ segment }) => segment);
}
