/** The threads of a gdbstub, which are QEMU's vCPUs. */
import type { GdbConnection } from './connection.ts';
import { unexpectedReply } from './reply/error-reply.ts';
import { parseThreadId, type ThreadId } from './reply/thread-id.ts';

const QUESTION = 'a question for its threads';
/** A list of threads without an end. */
const MAX_THREADS = 4096;

/** In their order. @throws PtmonError `corrupt-input` for a senseless answer */
export async function listThreads(connection: GdbConnection): Promise<readonly ThreadId[]> {
  const threads: ThreadId[] = [];
  let reply = await connection.request('qfThreadInfo');
  while (reply.startsWith('m') && threads.length < MAX_THREADS) {
    for (const text of reply.slice(1).split(',')) {
      const thread = parseThreadId(text);
      if (thread === undefined) throw unexpectedReply(connection.address, QUESTION, reply);
      threads.push(thread);
    }
    reply = await connection.request('qsThreadInfo');
  }
  if (reply !== 'l') throw unexpectedReply(connection.address, QUESTION, reply);
  return threads;
}
