/** What the guest's memory manager does, as writes to memory: each operation of a program that writes, taken apart. */
import { PAGING_MODES } from '../../src/core/paging/modes.ts';
import type { NaiveOptions } from './naive-walk.ts';
import type { NaiveWalk } from './naive-monitor.ts';
import type { Op, Program, Value } from './program.ts';

/** One write: where, and which bytes. */
export type ByteWrite = readonly [pa: number, bytes: Uint8Array];

const PS = 0x80n;
const ADDRESS = 0xf_ffff_ffff_f000n;
const XD = 1n << 63n;

export class Guest {
  readonly program: Program;
  readonly paging: NaiveOptions;
  readonly entryBytes: 4 | 8;
  readonly #walk: (root: bigint, va: bigint) => NaiveWalk;

  constructor(program: Program, walk: (root: bigint, va: bigint) => NaiveWalk) {
    this.program = program;
    this.#walk = walk;
    this.paging = pagingOf(program);
    this.entryBytes = PAGING_MODES[program.mode].entryBytes;
  }

  /** The `index`th frame of memory. */
  frame(index: number): number {
    return this.program.frames[index % this.program.ram]!;
  }

  root(index: number): bigint {
    const [frame, offset] = this.program.roots[index % this.program.roots.length]!;
    return BigInt(this.program.frames[frame % this.program.frames.length]!) * 4096n + BigInt(offset);
  }

  va(a: number | string): bigint {
    return BigInt(typeof a === 'string' ? a : this.program.vas[a % this.program.vas.length]!);
  }

  slotPa(f: number, s: number): number {
    const slot = this.program.slots[s % this.program.slots.length]! % (4096 / this.entryBytes);
    return this.frame(f) * 4096 + slot * this.entryBytes;
  }

  value(value: Value): bigint {
    const wide = typeof value === 'string' ? BigInt(value) : this.#frameBits(value[0]) | bitsOf(value[1]);
    return BigInt.asUintN(this.entryBytes * 8, wide);
  }

  /** The bytes of one entry. */
  bytes(value: bigint): Uint8Array {
    return new Uint8Array(BigUint64Array.of(value).buffer, 0, this.entryBytes);
  }

  /** The writes of an operation, in the order in which the guest makes them; none for operations that do not write. */
  writesOf(op: Op): ByteWrite[] {
    switch (op.k) {
      case 'set':
        return [[this.slotPa(op.f, op.s), this.bytes(this.value(op.v))]];
      case 'wide': {
        const bytes = concat(op.v.map((value) => this.bytes(this.value(value)))).subarray(op.skip, op.skip + op.n);
        return bytes.length === 0 ? [] : [[this.frame(op.f) * 4096 + (op.o % 4096), bytes]];
      }
      case 'fill': {
        const value = this.value(op.v);
        return [[this.frame(op.f) * 4096, this.#table((index) => value + BigInt(index * op.step) * 4096n)]];
      }
      case 'map':
        return this.#map(op);
      case 'put':
        return this.#atLevel(op, () => this.value(op.v));
      case 'flip':
        return this.#atLevel(op, (value) => value ^ bitsOf(op.bits));
      case 'split':
        return this.#split(op);
      case 'merge':
        return this.#merge(op);
      default:
        return [];
    }
  }

  /** What the processor writes, without a trap, when the address is used (rule E4). */
  usedBits(op: Op & { readonly k: 'use' }): ByteWrite[] {
    const walk = this.#walk(this.root(op.r), this.va(op.a));
    if (!('pa' in walk)) return [];
    // PAE's PDPTEs as well, as QEMU's TCG does.
    return walk.entries.map((entry) => {
      const dirty = op.d === 1 && entry === walk.entries.at(-1) ? 0x40n : 0n;
      return [Number(entry.pa), this.bytes(entry.value | 0x20n | dirty)];
    });
  }

  #frameBits(frame: number): bigint {
    return BigInt(this.program.frames[frame % this.program.frames.length]!) << 12n;
  }

  #table(value: (index: number) => bigint): Uint8Array {
    return concat(Array.from({ length: 4096 / this.entryBytes }, (_, index) => this.bytes(value(index))));
  }

  #slotInTable(va: bigint, level: number): number {
    const bits = this.entryBytes === 4 ? 10n : 9n;
    return Number((va >> (12n + BigInt(level - 1) * bits)) & ((1n << bits) - 1n));
  }

  #atLevel(
    op: { readonly r: number; readonly a: number | string; readonly lv: number },
    change: (value: bigint) => bigint,
  ): ByteWrite[] {
    const { entries } = this.#walk(this.root(op.r), this.va(op.a));
    const entry = entries.find(({ level }) => level === op.lv) ?? entries.at(-1);
    return entry === undefined ? [] : [[Number(entry.pa), this.bytes(change(entry.value))]];
  }

  #map(op: Op & { readonly k: 'map' }): ByteWrite[] {
    const va = this.va(op.a);
    const { entries } = this.#walk(this.root(op.r), va);
    const at = entries.find(({ level }) => level === op.lv) ?? entries.at(-1);
    if (at === undefined) return [];

    const tables = op.t ?? [0];
    const zeroings: ByteWrite[] = [];
    const links: ByteWrite[] = [];
    let pa = Number(at.pa);
    for (let level = at.level - 1, i = 0; level >= op.lv && level > 0; level--, i++) {
      const frame = this.frame(tables[i % tables.length] ?? 0);
      const pdpte = this.program.mode === 'pae' && level === 2;
      if (op.dirty !== true) zeroings.push([frame * 4096, new Uint8Array(4096)]);
      links.push([pa, this.bytes((BigInt(frame) << 12n) | (pdpte ? 1n : 7n))]);
      pa = frame * 4096 + this.#slotInTable(va, level) * this.entryBytes;
    }
    links.push([pa, this.bytes(this.value(op.v))]);
    return [...zeroings, ...(op.up === true ? links.reverse() : links)];
  }

  #split(op: Op & { readonly k: 'split' }): ByteWrite[] {
    const va = this.va(op.a);
    const walk = this.#walk(this.root(op.r), va);
    const leaf = walk.entries.at(-1);
    if (!('pa' in walk) || leaf === undefined || leaf.level === 1) return [];
    const base = walk.pa - (va & (walk.pageSize - 1n));
    const step = leaf.level === 2 ? 4096n : 0x20_0000n;
    const flags = (leaf.value & (0x7fn | XD)) | (leaf.level === 2 ? 0n : PS);
    const frame = this.frame(op.f);
    return [
      [frame * 4096, this.#table((index) => BigInt.asUintN(this.entryBytes * 8, base + BigInt(index) * step) | flags)],
      [Number(leaf.pa), this.bytes((BigInt(frame) << 12n) | 7n)],
    ];
  }

  #merge(op: Op & { readonly k: 'merge' }): ByteWrite[] {
    const va = this.va(op.a);
    const { entries } = this.#walk(this.root(op.r), va);
    const [pde, pte] = [entries.find(({ level }) => level === 2), entries.find(({ level }) => level === 1)];
    if (pde === undefined || pte === undefined) return [];
    const base = BigInt.asUintN(52, (pte.value & ADDRESS) - BigInt(this.#slotInTable(va, 1)) * 4096n);
    return [[Number(pde.pa), this.bytes((base & ADDRESS) | (pte.value & (0x7fn | XD)) | PS)]];
  }
}

export function pagingOf(program: Program) {
  const { mode, physicalAddressBits, encryptionMask, noExecuteEnable, pageSizeExtensions } = program;
  const { vendor, gigabytePages } = program;
  return {
    mode,
    ...(physicalAddressBits === undefined ? {} : { physicalAddressBits }),
    ...(encryptionMask === undefined ? {} : { encryptionMask: BigInt(encryptionMask) }),
    ...(noExecuteEnable === undefined ? {} : { noExecuteEnable }),
    ...(pageSizeExtensions === undefined ? {} : { pageSizeExtensions }),
    ...(vendor === undefined ? {} : { vendor }),
    ...(gigabytePages === undefined ? {} : { gigabytePages }),
  };
}

/** The bits of a `Value`, where they stand in an entry. */
function bitsOf(bits: number): bigint {
  const wide = BigInt(bits);
  return (
    (wide & 0x1fffn) | (((wide >> 16n) & 1n) << 63n) | (((wide >> 17n) & 15n) << 59n) | (((wide >> 21n) & 127n) << 52n)
  );
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
