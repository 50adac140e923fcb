/** Keys of a terminal in raw mode, by name. */
const SEQUENCES: Readonly<Record<string, string>> = {
  '\x1b[A': 'up',
  '\x1b[B': 'down',
  '\x1b[D': 'left',
  '\x1b[5~': 'page-up',
  '\x1b[6~': 'page-down',
  '\x1b[H': 'home',
  '\x1b[F': 'end',
  '\x1b[1~': 'home',
  '\x1b[4~': 'end',
  '\r': 'enter',
  '\n': 'enter',
  '\x1b': 'escape',
  '\x7f': 'backspace',
  '\b': 'backspace',
  '\x03': 'interrupt',
  '\x1a': 'suspend',
  '\x0c': 'redraw',
};

const ESCAPE = '\x1b';
/** A control sequence, or one character. */
const KEY = new RegExp(String.raw`${ESCAPE}\[[0-9;]*[A-Za-z~]|[^]`, 'gu');

/** The keys in what a terminal has sent: names, or the character. Sequences that are not known are left out. */
export function keysIn(text: string): string[] {
  // Some terminals send cursor keys as SS3.
  const parts = text.replaceAll('\x1bO', '\x1b[').match(KEY) ?? [];
  return parts.flatMap((part) => SEQUENCES[part] ?? (part.length > 1 && part.startsWith('\x1b') ? [] : [part]));
}
