/** How writes reach memory: trapped and in flight, at once where nobody traps them, or behind everybody's back. */
import type { ByteWrite } from './guest.ts';
import { same } from './mismatch.ts';
import { frameOf } from './naive-monitor.ts';
import type { Op, When } from './program.ts';
import type { Scene } from './scene.ts';

const gfnOf = (pa: number): number => Math.floor(pa / 4096);

interface Writer {
  readonly vcpu: number;
  /** The view in which the write traps, where it does in several. */
  readonly preferredView: number;
  readonly when: When;
}

/** A vCPU writes: what traps is reported and stays in flight, what does not is in memory at once. */
export function write(scene: Scene, [pa, bytes]: ByteWrite, by: Writer): void {
  const { vcpu, preferredView, when } = by;
  const { machine, oracle, program } = scene;
  const parts = machine.byFrame(pa, bytes).filter(([at]) => machine.isRam(gfnOf(at)));
  if (parts.length === 0) return;
  const watched = scene.watchedEntries();
  const isTable = tableTest(scene, watched);
  const traps = (gfn: number) =>
    program.source === 'trap' ? machine.trappingView(gfn, preferredView) !== undefined : isTable(gfn);
  const trapping = parts.find(([at]) => traps(gfnOf(at)));
  if (program.source === 'poll') return unseen(scene, parts);
  if (trapping === undefined) {
    // One vCPU's writes reach memory in the order in which it makes them.
    machine.land(vcpu);
    for (const [at, part] of parts) machine.poke(at, part);
    return;
  }

  const [from, to] = [parts[0]![0], parts.at(-1)![0] + parts.at(-1)![1].length];
  const view = machine.trappingView(gfnOf(trapping[0]), preferredView) ?? preferredView;
  const entries = oracle.entriesIn(BigInt(from), to - from);
  const monitored = entries.some((entry) => watched.has(entry));
  const what = () => `whether the write of ${to - from} bytes at 0x${from.toString(16)} is to a monitored entry`;
  // One entry is reported by the call that is made for one, half of the time.
  const isReported =
    entries.length === 1 && (from >> 4) % 2 === 0
      ? scene.subject.markDirtyEntry(from, view, vcpu)
      : scene.subject.markDirty(from, to - from, view, vcpu);
  same('C5', isReported, monitored, what);
  // What traps is not done by halves: until then, nothing of it is in memory, and all of it is marked. Also where the frame is
  // read-only for a reason of its own, and nothing watches it yet (rule C1).
  oracle.mark(entries, vcpu);
  for (const part of parts) machine.trap(vcpu, ...part);
  if (when >= 1) machine.land(vcpu);
  if (when >= 2) scene.commit(vcpu);
}

/** Memory changes, and nobody is told. */
export function unseen(scene: Scene, writes: readonly ByteWrite[]): void {
  for (const [pa, bytes] of writes) scene.machine.poke(pa, bytes);
  scene.missed = true;
}

/** Another vCPU writes to a table in the moment before its protection takes effect (rule C3). */
export function race({ guest, machine }: Scene, op: Op & { readonly k: 'race' }): void {
  const [pa, bytes] = [guest.slotPa(op.f, op.s), guest.bytes(guest.value(op.v))];
  machine.beforeProtect = (gfn) => {
    if (gfn !== guest.frame(op.f) || machine.trappingView(gfn, 0) !== undefined) return;
    machine.beforeProtect = undefined;
    machine.poke(pa, bytes);
  };
}

/** A vCPU traps while the monitor is in the middle of a call, and is reported at once; its write lands later (rules C3, C4). */
export function trapWithin(scene: Scene, op: Op & { readonly k: 'within' }): void {
  const { guest, machine, oracle, subject } = scene;
  machine.afterProtect = (gfn) => {
    const pa = op.f === undefined ? gfn * 4096 + (guest.slotPa(0, op.s) % 4096) : guest.slotPa(op.f, op.s);
    const takenFrom = (view: number) => machine.access(view, gfnOf(pa)) !== machine.originalAccess(view, gfnOf(pa));
    const view = machine.views().find(takenFrom);
    // What is held of a view that is gone is anybody's guess, and so is what is done about it.
    if (view === undefined || oracle.goneViews.size > 0) return;
    machine.afterProtect = undefined;
    subject.markDirtyEntry(pa, view, op.c);
    scene.afterCall(() => {
      oracle.mark([BigInt(pa)], op.c);
      machine.trap(op.c, pa, guest.bytes(guest.value(op.v)));
    });
  };
}

/** Whether the monitor takes a frame for a table: it is on a walk, it is protected, or it could not be restored. */
function tableTest({ machine, attempts }: Scene, watched: ReadonlySet<bigint>): (gfn: number) => boolean {
  const tables = new Set([...watched].map((pa) => Number(frameOf(pa))));
  const isProtected = (gfn: number) =>
    machine.views().some((view) => machine.access(view, gfn) !== machine.originalAccess(view, gfn));
  return (gfn) => tables.has(gfn) || attempts.isUnrestored(gfn) || isProtected(gfn);
}
