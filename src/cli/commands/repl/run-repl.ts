/** A prompt with a guest in scope. */
import process from 'node:process';
import { createInterface } from 'node:readline';
import { Recoverable, type REPLServer, start } from 'node:repl';
import { PassThrough } from 'node:stream';
import { PtmonError } from '../../../core/error.ts';
import { attach } from '../../../guest/index.ts';
import type { CommandContext } from '../../context.ts';
import { EXIT_OK } from '../../exit/exit-codes.ts';
import { interruptible } from '../../exit/interruptible.ts';
import { type Script, unlessStuck } from '../script/run-script.ts';

/** What the prompt is about. */
type Attachment = Pick<Script, 'where' | 'proof'>;

/** @throws PtmonError as `attach` */
export function runRepl({ where, proof }: Attachment, context: CommandContext): Promise<void> {
  return interruptible(context, async (signal) => {
    const guest = await attach(where, { signal, proof });
    try {
      await context.messages.write(`${guest.name}: "guest" is in scope; Ctrl-D ends\n`);
      const { isTTY } = process.stdin;
      const input = isTTY ? process.stdin : new PassThrough();
      const { stream: output } = context.output;
      // A terminal in raw mode sends no signal: else Ctrl-C would end neither an await nor a loop.
      const prompt = start({ prompt: isTTY ? 'ptmon> ' : '', output, input, breakEvalOnSigint: isTTY });
      if (isTTY) leaveSigint(prompt);
      const define = (scope: object) => Object.assign(scope, { guest });
      define(prompt.context);
      // .clear makes a new scope.
      prompt.on('reset', define);
      const unfinished = isTTY ? () => undefined : feedInTurn(prompt, input as PassThrough);
      const end = new Promise<void>((resolve) => {
        prompt.on('exit', resolve);
        // While a line awaits something, close() alone waits for that.
        signal.addEventListener('abort', () => resolve(prompt.close()), { once: true });
      });
      await unlessStuck('a line', end);
      signal.throwIfAborted();
      const line = unfinished();
      if (line !== undefined)
        throw new PtmonError('bad-argument', `the input ends within a statement, which did not run: ${line}`);
    } finally {
      await guest.close();
    }
    return EXIT_OK;
  });
}

/**
 * Gives the prompt each line of a file or a pipe once the one before is done: by itself it does not wait for what a line awaits.
 *
 * @returns what gives the first line of a statement that has not ended
 */
function feedInTurn(prompt: REPLServer, input: PassThrough): () => string | undefined {
  let unfinished: string | undefined;
  const { eval: evaluate } = prompt;
  const noting: typeof evaluate = function (code, context, file, done) {
    evaluate.call(this, code, context, file, (error, result) => {
      unfinished = error instanceof Recoverable ? code.trimStart().split('\n', 1)[0] : undefined;
      done(error, result);
    });
  };
  // `.break` and `.clear` call it.
  const clear = prompt.clearBufferedCommand.bind(prompt);
  const clearBufferedCommand = () => {
    unfinished = undefined;
    clear();
  };
  Object.assign(prompt, { eval: noting, clearBufferedCommand });
  const lines = createInterface(process.stdin)[Symbol.asyncIterator]();
  const feed = async () => {
    const { done, value } = await lines.next();
    if (done === true) input.end();
    else input.write(`${value}\n`);
  };
  const display = prompt.displayPrompt.bind(prompt);
  prompt.displayPrompt = (preserveCursor) => {
    display(preserveCursor);
    void feed();
  };
  void feed();
  return () => unfinished;
}

/** Node's prompt catches SIGINT for a line, then takes away the other listeners, and with them its own: Ctrl-C would end the process. */
function leaveSigint(prompt: REPLServer): void {
  const evaluate = prompt.eval;
  const withoutListeners: typeof evaluate = function (...line) {
    const listeners = process.listeners('SIGINT');
    process.removeAllListeners('SIGINT');
    try {
      evaluate.apply(this, line);
    } finally {
      for (const each of listeners) process.on('SIGINT', each);
    }
  };
  Object.assign(prompt, { eval: withoutListeners });
}
