/** Replies that say no. GDB manual, "Packets": `E` and two digits, `E.` and words, or nothing at all for what is not supported. */
import { PtmonError } from '../../../../core/error.ts';

/** What the reply to a command says is wrong; undefined when it says nothing of that kind. */
export function faultOfReply(reply: string): string | undefined {
  if (reply === '') return 'not supported';
  if (/^E[0-9a-fA-F]{2}$/.test(reply)) return `error ${reply.slice(1)}`;
  return reply.startsWith('E.') ? reply.slice(2) : undefined;
}

/** A reply that does not fit its command: a refusal, or no sense at all. @param what the command, as a noun */
export function unexpectedReply(address: string, what: string, reply: string): PtmonError {
  const fault = faultOfReply(reply);
  if (fault !== undefined)
    return new PtmonError('source-unavailable', `${address}: the gdbstub refused ${what} (${fault})`);
  return new PtmonError('corrupt-input', `${address}: the gdbstub answered "${reply.slice(0, 40)}" to ${what}`);
}
