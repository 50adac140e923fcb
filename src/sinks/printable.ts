/** Words that are not ours, on a terminal: a guest's names, and what a file says. */

/** They may hold anything: what would move a terminal's cursor is written as `\x1b`. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => {
    return `\\x${character.codePointAt(0)!.toString(16).padStart(2, '0')}`;
  });
}
