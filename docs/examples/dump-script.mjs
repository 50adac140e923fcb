import process from 'node:process';
import { openDump } from 'ptmon/drivers/dump';
import { findAddressSpace, listRanges } from 'ptmon/snapshot';

const dump = await openDump(process.argv[2]);
const space = await findAddressSpace(dump);
for await (const { va, byteLength, rights } of listRanges(dump, space, { filter: { writable: true } })) {
  console.log(va.toString(16), byteLength, rights.noExecute ? '' : 'can be executed');
}
await dump.close();
