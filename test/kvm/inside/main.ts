/**
 * Carries out calls where the KVM is: a line of JSON in for each, a line of JSON out. One process serves all tests, since Node takes
 * long to start on an emulated processor.
 */
import process from 'node:process';
import { createInterface } from 'node:readline';
import { CALLS } from './calls.ts';
import type { CallReply, CallRequest } from './protocol.ts';

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  if (line.trim() === '') continue;
  const request = JSON.parse(line) as CallRequest;
  if (request.call === 'end') break;
  process.stdout.write(`${JSON.stringify(await replyTo(request))}\n`);
}
await CALLS.stop({});

async function replyTo({ id, call, options }: CallRequest): Promise<CallReply> {
  try {
    return { id, result: await CALLS[call as keyof typeof CALLS](options as never) };
  } catch (error) {
    return { id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}
