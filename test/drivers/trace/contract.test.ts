import { beforeAll } from 'vitest';
import { openTrace, recordTrace } from '../../../src/drivers/trace/index.ts';
import { openSession } from '../../../src/session/index.ts';
import { describeDriverContract } from '../../contract/describe-contract.ts';
import { temporaryFolder } from './temporary-folder.ts';
import { ToyGuest } from './toy-guest.ts';

const path = temporaryFolder()('contract.trace');
/** An entry leads there, and it is no RAM. */
const HOLE = 0x1_0000_0000;

beforeAll(async () => {
  const steps = Array.from({ length: 400 }, (_, n) => (guest: ToyGuest) => guest.write(n % 16, (n % 7) * 16));
  const guest = new ToyGuest(...steps);
  guest.memory.writeU64(0x3008, 7, 1);
  const session = await openSession({ driver: guest, recorder: recordTrace(path), paging: { mode: '4-level' } });
  session.monitor.monitorRange({ root: 0x1000, va: 0, byteLength: 0x40_0000 });
  await session.run();
});

describeDriverContract('trace', {
  open: () => ({ driver: openTrace(path, { repeat: false }).driver, tables: () => [1, 2, 3, 4], hole: HOLE }),
  deterministic: true,
  endless: false,
});
