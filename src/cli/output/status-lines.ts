/** Status lines on standard error: on a terminal they wrap between words. */
import { columnsOf } from '../../sinks/columns.ts';
import { printable } from '../../sinks/printable.ts';
import type { TextOutput } from '../../sinks/text-output.ts';

/** Prints a text of one line or several, in which names of the guest are made printable. An empty text prints nothing. */
export async function printStatus(messages: TextOutput, text: string): Promise<void> {
  if (text === '') return;
  const lines = text.replace(/\n$/, '').split('\n').map(printable).join('\n');
  await messages.write(`${await wrapped(lines, messages)}\n`);
}

async function wrapped(text: string, { stream }: TextOutput): Promise<string> {
  const isTerminal = 'isTTY' in stream && stream.isTTY === true;
  const columns = columnsOf(stream);
  if (!isTerminal || text.split('\n').every((line) => line.length <= columns)) return text;
  // Loaded only where it is needed: it costs a start.
  const { default: wrapAnsi } = await import('wrap-ansi');
  return wrapAnsi(text, columns);
}
