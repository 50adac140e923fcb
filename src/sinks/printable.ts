/** Makes text of a guest or a file safe for a terminal: writes control characters as `\x1b`, because they could move the cursor. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => {
    return `\\x${character.codePointAt(0)!.toString(16).padStart(2, '0')}`;
  });
}
