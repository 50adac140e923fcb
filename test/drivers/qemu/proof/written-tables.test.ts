/** What is read of tables to which writes are noted. This process plays QEMU, and a script the process that knows of written pages. */
import { expect, onTestFinished, test } from 'vitest';
import { READ_NOT_FETCHED, READ_OK } from '../../../../src/core/memory/physical-memory.ts';
import { openFollowedMemory } from '../../../../src/drivers/qemu/memory/followed-memory.ts';
import { WrittenTables } from '../../../../src/drivers/qemu/proof/index.ts';
import { ownMemory } from '../memory/own-memory.ts';
import { connect } from '../memory/played-qemu.ts';
import { pretend } from './pretended-helper.ts';

/** Writes are noted in order, and none is told of. */
const NOTHING_WRITTEN = `echo ready
  while read -r line; do
    case "$line" in
      scan) echo written end ;;
      *) echo ok ;;
    esac
  done`;

async function open() {
  const own = ownMemory(1);
  const qmp = await connect({ bytes: own.bytes, hostAddress: own.address });
  const memory = await openFollowedMemory({ qmp, guestRuns: true });
  onTestFinished(() => memory.close());
  const tables = await WrittenTables.open(qmp, memory);
  onTestFinished(() => tables.close());
  return { own, memory, tables };
}

const PA = 0x3000;
const out = new Uint32Array(2);

test('what others read of a table before writes to it are noted is read again (C3)', async () => {
  pretend(NOTHING_WRITTEN);
  const { own, memory, tables } = await open();
  expect(memory.readEntry(PA, 8, out)).toBe(READ_OK);
  expect(out[0]).toBe(1);
  expect(tables.readEntry(PA, 8, out)).toBe(READ_NOT_FETCHED);
  own.bytes[PA] = 2;
  await tables.fetch([PA]);
  expect(tables.readEntry(PA, 8, out)).toBe(READ_OK);
  expect(out[0]).toBe(2);
  // Until the next sample it stays, whoever reads it.
  own.bytes[PA] = 3;
  expect(tables.readEntry(PA, 8, out)).toBe(READ_OK);
  expect(out[0]).toBe(2);
});
