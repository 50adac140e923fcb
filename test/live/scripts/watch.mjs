/**
 * A script on the library as somebody writes it, without a handler for any signal: watches a page of a guest and prints a line an event.
 * `node watch.mjs QMP GDB ROOT VA`
 */
import process from 'node:process';
import { openSession } from 'ptmon';
import { openQemu } from 'ptmon/drivers/qemu';

const [qmp, gdb, root, va] = process.argv.slice(2);
const driver = await openQemu({ qmp, gdb });
const session = await openSession({ driver });
await session.watch({ root: BigInt(root), va: BigInt(va), byteLength: 4 * 4096 });
process.stdout.write('watching\n');
for await (const event of session) process.stdout.write(`${event.kind}\n`);
