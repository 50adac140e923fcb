/** A prompt with a guest in scope. */
import { start } from 'node:repl';
import { attach, type GuestFile, type QemuSockets } from '../../../guest/index.ts';
import type { CommandContext } from '../../context.ts';
import { EXIT_OK } from '../../exit/exit-codes.ts';
import { interruptible } from '../../exit/interruptible.ts';

/** @throws PtmonError as `attach` */
export function runRepl(where: QemuSockets | GuestFile, context: CommandContext): Promise<void> {
  return interruptible(context, async (signal) => {
    const guest = await attach(where, { signal });
    try {
      await context.messages.write(`${guest.name}: "guest" is in scope; Ctrl-D ends\n`);
      const prompt = start({ prompt: 'ptmon> ', output: context.output.stream, input: process.stdin });
      prompt.context['guest'] = guest;
      await new Promise<void>((resolve) => {
        prompt.on('exit', resolve);
        signal.addEventListener('abort', () => prompt.close(), { once: true });
      });
    } finally {
      await guest.close();
    }
    return EXIT_OK;
  });
}
