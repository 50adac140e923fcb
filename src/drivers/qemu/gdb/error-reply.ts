/** Replies that say no. GDB manual, "Packets": `E` and two digits, `E.` and words, or nothing at all for what is not supported. */

/** What the reply to a command says is wrong; undefined when it says nothing of that kind. */
export function faultOfReply(reply: string): string | undefined {
  if (reply === '') return 'not supported';
  if (/^E[0-9a-fA-F]{2}$/.test(reply)) return `error ${reply.slice(1)}`;
  return reply.startsWith('E.') ? reply.slice(2) : undefined;
}
