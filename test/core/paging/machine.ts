/** A small machine to translate on: entries are put anywhere, and each walk is checked against the oracle. */
import { expect } from 'vitest';
import { SparseMemory } from '../../../src/core/memory/sparse-memory.ts';
import { makePaging, type Paging, type PagingOptions } from '../../../src/core/paging/format.ts';
import type { PagingModeName } from '../../../src/core/paging/modes.ts';
import { type Walk, walk } from '../../../src/core/paging/walk.ts';
import { naiveWalk } from '../../oracle/naive-walk.ts';

export const MODES: readonly PagingModeName[] = ['5-level', '4-level', 'pae', '32-bit'];
export const DEPTH = { '5-level': 5, '4-level': 4, pae: 3, '32-bit': 2 };

/** Where `chain` puts the table of each level: level 5 at 0x51000 and so on. */
export const tableAt = (level: number): bigint => BigInt(level) * 0x10000n + 0x1000n;

/** Present, writable, user, accessed. PDPTEs of PAE have none but the first. */
export const pointer = (mode: PagingModeName, level: number): bigint => (mode === 'pae' && level === 3 ? 0x01n : 0x27n);

export class Machine {
  readonly options: PagingOptions;
  readonly paging: Paging;
  readonly memory = new SparseMemory();
  readonly entryBytes: 4 | 8;

  constructor(options: PagingOptions) {
    this.options = options;
    this.paging = makePaging(options);
    this.entryBytes = options.mode === '32-bit' ? 4 : 8;
  }

  put(pa: bigint, value: bigint): void {
    if (this.entryBytes === 4) this.memory.writeU32(Number(pa), Number(value));
    else this.memory.writeU64(Number(pa), Number(value & 0xffffffffn), Number(value >> 32n));
  }

  readonly read = (pa: bigint, bytes: number): bigint | undefined => {
    const page = this.memory.page(Number(pa >> 12n));
    if (page === undefined) return undefined;
    const word = Number(pa & 0xfffn) / 4;
    return bytes === 8 ? (BigInt(page[word + 1]!) << 32n) | BigInt(page[word]!) : BigInt(page[word]!);
  };

  /** Address of the entry for `va` in the table of `level` at `table`. */
  entryPa(level: number, table: bigint, va: bigint): bigint {
    const indexBits = this.entryBytes === 4 ? 10 : 9;
    const index = (va >> BigInt(12 + (level - 1) * indexBits)) & ((1n << BigInt(indexBits)) - 1n);
    return table + (this.options.mode === 'pae' && level === 3 ? index & 3n : index) * BigInt(this.entryBytes);
  }

  /**
   * Writes a walk for `va`: ordinary pointers from the root down to `level`, where `value` stands. Answers the root.
   * `upper` replaces the flags of pointers, by level.
   */
  chain(va: bigint, level: number, value: bigint, upper: Readonly<Record<number, bigint>> = {}): bigint {
    const { mode } = this.options;
    for (let above = DEPTH[mode]; above > level; above--) {
      const flags = upper[above] ?? pointer(mode, above);
      this.put(this.entryPa(above, tableAt(above), va), tableAt(above - 1) | flags);
    }
    this.put(this.entryPa(level, tableAt(level), va), value);
    return tableAt(DEPTH[mode]);
  }

  /** Walks, and requires of the answer all that the oracle says. */
  walk(root: bigint, va: bigint): Walk {
    const answer = walk(this.paging, this.memory, root, va);
    const ours = plainWalk(answer);
    const theirs = plainOracle(naiveWalk(this.options, this.read, root, va));
    // `expect` on every one of some hundred thousand walks would be most of the time that they take.
    if (JSON.stringify(ours) !== JSON.stringify(theirs))
      expect(ours, `walk of ${hex(va)} from ${hex(root)}`).toEqual(theirs);
    return answer;
  }
}

type Oracle = ReturnType<typeof naiveWalk>;

/** What both say, in one shape and in hexadecimal, so that a difference can be read. */
function plainOracle(answer: Oracle) {
  const entries = answer.entries.map((entry) => `L${entry.level} ${hex(entry.pa)}=${hex(entry.value)}`);
  if ('reason' in answer) return { stop: answer.reason, level: answer.level, entries };
  const { writable, user, noExecute, key } = answer;
  return { pa: hex(answer.pa), pageSize: Number(answer.pageSize), writable, user, noExecute, key, entries };
}

function plainWalk(answer: Walk) {
  const entries = answer.steps.map((step) => `L${step.level} ${hex(step.entryPa)}=${hex(step.value)}`);
  if (!answer.translates) return { stop: answer.reason, level: answer.level, entries };
  const { writable, user, noExecute, protectionKey: key } = answer.rights;
  return { pa: hex(answer.pa), pageSize: answer.pageSize, writable, user, noExecute, key, entries };
}

export const hex = (value: bigint | number): string => `0x${value.toString(16)}`;
