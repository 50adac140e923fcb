/** `--verify` where it can compare, and where it cannot. */
import { expect, test } from 'vitest';
import { Verifier } from '../../../src/cli/live/verifier.ts';
import type { PageTableMonitor } from '../../../src/core/monitor/page-table-monitor.ts';
import { walk } from '../../../src/core/paging/walk.ts';
import type { QemuDriver } from '../../../src/drivers/qemu/index.ts';
import { PRESENT, SpaceBuilder, USER, WRITABLE } from '../../snapshot/space.ts';

const VA = 0x4000_0000n;
const FRAME = 0x7000n;

/** A process under page-table isolation: the kernel's root and the user's lie side by side and share the tables below. */
function isolated() {
  const space = new SpaceBuilder('4-level');
  space.map(VA, 1, FRAME, PRESENT | WRITABLE | USER);
  let kernel = space.newTable();
  while (kernel % 0x2000n !== 0n) kernel = space.newTable();
  const user = space.newTable();
  const entry = space.machine.read(space.root, 8)!;
  space.machine.put(kernel, entry);
  space.machine.put(user, entry);
  return { space, kernel: Number(kernel), user: Number(user) };
}

/** What is watched of the user's root while a vCPU has `loaded` in CR3. */
async function verified({ space, user }: ReturnType<typeof isolated>, loaded: number, disagrees = false) {
  const { machine } = space;
  const { paging } = machine;
  const registers = { vcpuCount: 1, readRegisters: () => ({ cr3: BigInt(loaded) }) };
  const translate = (root: number) => {
    const found = walk(paging, machine.memory, root, VA);
    return found.translates ? found.pa : null;
  };
  const driver = {
    ...{ registers, memory: machine.memory, refreshRegisters: async () => {} },
    translateByQemu: async () => (disagrees ? 0x9000 : translate(loaded)),
  };
  const lines: string[] = [];
  const report = (line: string) => lines.push(line);
  const verifier = new Verifier(driver as unknown as QemuDriver, [{ root: user, va: VA }], report);
  await verifier.verify({ paging, state: () => ({ pa: translate(user) }) } as unknown as PageTableMonitor);
  return { verifier, lines };
}

test.each(['user', 'kernel'] as const)("compares while the %s's root of a pair is loaded", async (which) => {
  const guest = isolated();
  const { verifier, lines } = await verified(guest, guest[which]);
  expect(lines).toEqual([]);
  expect(verifier.agreed).toBe(true);
  expect(verifier.verdict).toMatch(
    /^verify: 1 comparisons with QEMU's own translation, 0 differences; 0 comparisons left out/,
  );
});

test('says where QEMU differs', async () => {
  const guest = isolated();
  const { verifier, lines } = await verified(guest, guest.kernel, true);
  expect(lines).toEqual(['verify: 0x40000000 translates to 0x7000 in ptmon, and to 0x9000 in QEMU (vCPU 0)']);
  expect(verifier.agreed).toBe(false);
});

test('a neighbour that leads elsewhere is no pair; and a check that compares nothing says so', async () => {
  const guest = isolated();
  guest.space.machine.put(BigInt(guest.kernel), guest.space.newTable() | PRESENT | WRITABLE | USER);
  const { verifier } = await verified(guest, guest.kernel);
  expect(verifier.agreed).toBe(false);
  expect(verifier.verdict).toBe(
    "verify: nothing was compared with QEMU's own translation, so nothing is verified; 1 comparisons left out, because no vCPU had the address space loaded",
  );
});
