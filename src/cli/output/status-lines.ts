/** Status lines on standard error, and other sentences: on a terminal they wrap between words. */
import { lineColumnsOf } from '../../sinks/columns.ts';
import { printable } from '../../sinks/printable.ts';
import type { TextOutput } from '../../sinks/text-output.ts';

/** Characters of which some take two columns, or none. To measure them costs a start, too. */
const MAY_BE_WIDE = /[\u0300-\u1fff\u2e80-\uffff]/;

/** Prints a text of one line or several, in which names of the guest are made printable. An empty text prints nothing. */
export async function printStatus(messages: TextOutput, text: string): Promise<void> {
  if (text === '') return;
  const lines = text.replace(/\n$/, '').split('\n').map(printable).join('\n');
  await messages.write(`${await wrapped(lines, messages)}\n`);
}

/** The text as it is printed behind `indent` columns: its further lines begin there. */
export async function wrapped(text: string, { stream }: TextOutput, indent = 0): Promise<string> {
  const columns = lineColumnsOf(stream) - indent;
  if (text.split('\n').every((line) => line.length <= columns && !MAY_BE_WIDE.test(line))) return text;
  // Loaded only where it is needed: it costs a start.
  const { default: wrapAnsi } = await import('wrap-ansi');
  return wrapAnsi(text, Math.max(columns, 20)).replaceAll('\n', `\n${' '.repeat(indent)}`);
}
