import { SparseMemory } from '../../../src/core/memory/sparse-memory.ts';
import type { Driver, SourceEvent } from '../../../src/driver/index.ts';

/** A guest that traps entries: its tables are at frames 1 to 4, and page n of the lowest 512 is entry n of frame 4. */
export class ToyGuest implements Driver {
  readonly name = 'toy';
  readonly memory = new SparseMemory();
  readonly traps = { setEntries: async () => {} };
  readonly #steps: ((guest: ToyGuest) => readonly SourceEvent[])[];
  isClosed = false;

  constructor(...steps: ((guest: ToyGuest) => readonly SourceEvent[])[]) {
    this.#steps = steps;
    for (const gfn of [1, 2, 3]) this.memory.writeU64(gfn * 4096, (gfn + 1) * 4096 + 7, 0);
    this.memory.addPage(4);
  }

  set(page: number, gfn: number): void {
    this.memory.writeU64(0x4000 + page * 8, gfn === 0 ? 0 : gfn * 4096 + 7, 0);
  }

  /** As the exact driver of QEMU says it. */
  write(page: number, gfn: number, vcpu = 0): readonly SourceEvent[] {
    this.set(page, gfn);
    const missed = { kind: 'missed', reason: 'stops merge', lost: 0 } as const;
    return [{ kind: 'write', vcpu, view: 0, pa: 0x4000 + page * 8, byteLength: 8 }, { kind: 'commit', vcpu }, missed];
  }

  async *run(): AsyncGenerator<readonly SourceEvent[]> {
    for (const step of this.#steps) yield step(this);
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }
}
