/** Makes up a program from a seed: few frames, few slots and few addresses, so that everything meets everything. */
import { PAGING_MODES, type PagingModeName } from '../../src/core/paging/modes.ts';
import type { Op, Program, Value, When } from './program.ts';
import { Random } from './random.ts';

type Kind = Op['k'];

/** What a program is mostly about: how often each operation comes. */
const COMMON: Readonly<Record<Kind, number>> = {
  set: 5,
  wide: 4,
  fill: 1,
  map: 14,
  put: 8,
  flip: 14,
  split: 4,
  merge: 3,
  use: 3,
  land: 3,
  commit: 8,
  dma: 0,
  race: 2,
  within: 2,
  monitor: 10,
  unmonitor: 4,
  force: 1,
  range: 5,
  unrange: 3,
  unview: 0,
  newview: 0,
  killview: 0,
  unall: 0,
  gone: 1,
  resync: 1,
};
const FLAVOURS: readonly Partial<Record<Kind, number>>[] = [
  {},
  { map: 24, put: 16, flip: 12 },
  { map: 12, flip: 30, split: 10, merge: 8, set: 1, put: 3, wide: 1, fill: 0, gone: 0, force: 0 },
  { land: 10, commit: 12, wide: 8, race: 6, within: 8 },
  { range: 14, unrange: 8, split: 10, merge: 8 },
  { monitor: 16, unmonitor: 12, force: 3, unall: 1, unview: 1, gone: 3 },
  { dma: 4, resync: 6, unview: 1, killview: 2, newview: 3 },
  // Leaf entries by the batch, under pages that are watched at many bytes.
  { map: 8, put: 10, flip: 10, wide: 6, fill: 3, monitor: 30, unmonitor: 16, range: 2, unrange: 2, split: 1, merge: 1 },
];

const TAGS = ['a', 'b', 'c', 1, 2];
// Those that a page's own record cannot hold, or only just.
const STRANGE_TAGS = ['', '1', 0, 2 ** 32 - 1, 2 ** 32, -1, 1.5, 1e300];
// Present, writable, user, and whatever else: mostly what an operating system writes.
const FLAGS = [7, 7, 7, 7, 3, 5, 1, 0x67, 0x27, 0x107, 0x10007, 0x20007, 0x107f];

export function generate(seed: number, mode: PagingModeName): Program {
  return new Generator(seed, mode).program();
}

class Generator {
  readonly #random: Random;
  readonly #mode: PagingModeName;
  readonly #levels: number;
  readonly #slots: readonly number[];
  readonly #vas: readonly string[];
  readonly #frames: readonly number[];
  readonly #ram: number;
  readonly #views: number;
  readonly #vcpus: number;
  readonly #tagged: boolean;
  readonly #runs: number;
  readonly #patience: number;

  constructor(seed: number, mode: PagingModeName) {
    const random = new Random(seed);
    this.#random = random;
    this.#mode = mode;
    this.#levels = PAGING_MODES[mode].tables.length;
    const last = mode === '32-bit' ? 1023 : 511;
    const half = (last + 1) / 2;
    const pool = [0, 1, 2, 3, half - 1, half, last - 1, last];
    this.#slots = Array.from({ length: 2 + random.below(4) }, () => random.pick(pool));
    const vas: string[] = [];
    for (let count = 2 + random.below(8); count > 0; count--) vas.push(this.#anyVa(vas));
    this.#vas = vas;
    this.#ram = 6 + random.below(9);
    this.#frames = this.#anyFrames();
    this.#views = random.oneIn(3) ? 2 + random.below(3) : 1;
    this.#vcpus = random.oneIn(3) ? 1 : 2 + random.below(2);
    this.#tagged = random.oneIn(2);
    this.#runs = random.pick([0, 0, 1, 2]);
    // 1: writes are processed at once. 4: most are left in flight.
    this.#patience = 1 + random.below(4);
  }

  program(): Program {
    const random = this.#random;
    const wide = this.#mode !== '32-bit';
    const roots = this.#anyRoots();
    const source = random.oneIn(12) ? (random.oneIn(2) ? 'poll' : 'report') : 'trap';
    const kinds = (['protection', 'restructure', 'root-gone'] as const).filter(() => random.oneIn(2));
    const access = random.oneIn(3)
      ? Array.from({ length: 3 }, () => [random.below(this.#views), random.below(this.#ram), random.below(8)] as const)
      : [];
    const weights = { ...COMMON, ...random.pick(FLAVOURS), ...(source === 'poll' ? { resync: 12 } : {}) };
    const count = 6 + random.below(random.pick([14, 40, 90]));
    const ops = Array.from({ length: 2 + random.below(5) }, () => this.#op(random.oneIn(8) ? 'fill' : 'map'));
    for (let i = random.below(4); i > 0; i--) ops.push(this.#op(random.oneIn(3) ? 'range' : 'monitor'));
    for (let i = 0; i < count; i++) ops.push(this.#op(random.weighted(weights)));
    return {
      mode: this.#mode,
      ...(random.oneIn(4) ? { physicalAddressBits: random.pick([36, 40, 46, 51]) } : {}),
      ...(wide && random.oneIn(6)
        ? { encryptionMask: `0x${(1n << BigInt(random.pick([47, 51, 35]))).toString(16)}` }
        : {}),
      ...(random.oneIn(6) ? { noExecuteEnable: false } : {}),
      ...(random.oneIn(8) ? { pageSizeExtensions: false } : {}),
      ...(random.oneIn(6) ? { vendor: 'amd' as const } : {}),
      ...(random.oneIn(8) ? { gigabytePages: false } : {}),
      ...(kinds.length > 0 ? { kinds } : {}),
      source,
      views: this.#views,
      frames: this.#frames,
      ram: this.#ram,
      roots,
      slots: this.#slots,
      vas: this.#vas,
      ...(access.length > 0 ? { access } : {}),
      end: random.below(1000),
      ops,
    };
  }

  /** Any address, or another byte of the page of one that there is, or of the next page. */
  #anyVa(others: readonly string[]): string {
    const random = this.#random;
    if (others.length > 0 && random.oneIn(4)) {
      const page = BigInt(random.pick(others)) >> 12n;
      const near = ((page + BigInt(random.below(2))) << 12n) | BigInt(random.pick([0, 1, 0xfff, random.below(4096)]));
      return `0x${BigInt.asUintN(64, near).toString(16)}`;
    }
    const { vaBits, canonical, tables } = PAGING_MODES[this.#mode];
    let va = 0n;
    for (const { indexBits } of tables)
      va = (va << BigInt(indexBits)) | BigInt(random.pick(this.#slots) % 2 ** indexBits);
    va = (va << 12n) | BigInt(random.oneIn(4) ? random.below(4096) : 0);
    if (random.oneIn(4)) va += 4096n;
    if (canonical) va = BigInt.asUintN(64, BigInt.asIntN(vaBits, va));
    if (random.oneIn(40)) va ^= 1n << BigInt(vaBits);
    return `0x${BigInt.asUintN(64, va).toString(16)}`;
  }

  /** Memory: neighbours around a 2 MiB boundary, perhaps frame 0 and one above 4 GiB. Then what is not memory. */
  #anyFrames(): number[] {
    const random = this.#random;
    const first = random.pick([0, 0x1fd, 0x3fd]);
    const ram = Array.from({ length: this.#ram }, (_, index) => first + index);
    if (this.#mode !== '32-bit' && random.oneIn(3)) ram[ram.length - 1] = random.pick([0x10_0005, 0x8_0000_0000]);
    return [...ram, 0x200, 0x400, 0x800, 0x4_0000, 0x8_0000, 0x1_2345, 0xff_ffff_ffff];
  }

  #anyRoots(): [number, number][] {
    const random = this.#random;
    const below4G = this.#frames.findIndex((gfn) => gfn >= 2 ** 20);
    const limit = below4G >= 0 ? Math.min(below4G, this.#ram) : this.#ram;
    const shared = random.below(limit);
    return Array.from({ length: 1 + random.below(3) }, () => {
      if (this.#mode === 'pae')
        return [random.oneIn(2) ? shared : random.below(limit), 32 * random.pick([0, 1, 2, 127])];
      return [random.oneIn(20) ? this.#ram + 5 : random.below(limit), 0];
    });
  }

  #value(leafLevel = 1): Value {
    const random = this.#random;
    if (random.oneIn(12))
      return random.oneIn(3) ? '0x0' : `0x${(random.u64() | (random.oneIn(2) ? 1n : 0n)).toString(16)}`;
    const flags = random.pick(FLAGS) ^ (random.oneIn(10) ? 1 << random.below(28) : 0);
    // Frames 1 to 5 after memory are aligned to large pages.
    if (leafLevel > 1) return [this.#ram + random.below(5), flags | 0x80];
    return [random.oneIn(4) ? this.#ram + random.below(7) : random.below(this.#ram), flags];
  }

  #level(): number {
    return this.#random.oneIn(2) ? 1 : 1 + this.#random.below(this.#levels);
  }

  #write(): { c: number; g?: number; w: When } {
    const random = this.#random;
    const w = random.below(4) < this.#patience ? (random.below(2) as When) : 2;
    return {
      c: random.below(this.#vcpus),
      ...(this.#views > 1 ? { g: random.below(this.#views) } : {}),
      w: this.#patience === 1 ? 2 : w,
    };
  }

  /** Mostly one of few places, so that what is watched is what is written. */
  #place(): { r: number; a: number; x?: number } {
    const random = this.#random;
    const hot = !random.oneIn(4);
    return {
      r: hot ? 0 : random.below(3),
      a: random.below(hot ? Math.min(3, this.#vas.length) : this.#vas.length),
      ...(random.oneIn(8) ? { x: random.below(4) } : {}),
    };
  }

  /** Frames for new tables: mostly some of its own for each address, so that it lasts a while. */
  #tables(a: number): number[] {
    const random = this.#random;
    if (random.oneIn(4)) return Array.from({ length: 1 + random.below(3) }, () => random.below(this.#ram));
    return [0, 1, 2, 3].map((depth) => (2 + a * 3 + depth) % this.#ram);
  }

  #watch(): { g: number; r: number; a: number; t?: string | number } {
    const random = this.#random;
    const tag = this.#tagged && random.oneIn(2) ? { t: random.pick(random.oneIn(4) ? STRANGE_TAGS : TAGS) } : {};
    return { g: random.below(this.#views), ...this.#place(), ...tag };
  }

  #rangeBytes(): number {
    const random = this.#random;
    const pages = random.pick([1, 2, 3, 3, 6, 6, 12, random.oneIn(12) ? 1030 : 20]);
    return random.oneIn(3) ? 1 + random.below(pages * 4096) : pages * 4096;
  }

  #op(k: Kind): Op {
    const random = this.#random;
    const frame = () => random.below(this.#ram);
    const slot = () => random.below(this.#slots.length);
    const cpu = () => random.below(this.#vcpus);
    const view = () => random.below(this.#views);
    switch (k) {
      case 'set':
        return { k, f: frame(), s: slot(), v: this.#value(), ...this.#write() };
      case 'wide': {
        const v = Array.from({ length: 1 + random.below(4) }, () => this.#value());
        const entryBytes = PAGING_MODES[this.#mode].entryBytes;
        const o = random.oneIn(3)
          ? 4096 - random.below(24)
          : random.pick(this.#slots) * entryBytes + (random.oneIn(2) ? random.below(8) : 0);
        const whole = random.oneIn(2);
        const n = whole ? v.length * entryBytes : 1 + random.below(20);
        // Some end with the first byte of an entry.
        const before = random.pick(this.#slots) * entryBytes + 1 - n;
        return {
          k,
          f: frame(),
          o: random.oneIn(3) && before >= 0 ? before % 4096 : o % 4096,
          v,
          skip: whole ? 0 : random.below(8),
          n,
          ...this.#write(),
        };
      }
      case 'fill':
        return { k, f: frame(), v: random.oneIn(2) ? '0x0' : this.#value(), step: random.below(2), ...this.#write() };
      case 'map': {
        const lv = random.oneIn(3) ? this.#level() : 1;
        const place = this.#place();
        const flags = { ...(random.oneIn(2) ? { up: true } : {}), ...(random.oneIn(4) ? { dirty: true } : {}) };
        const v = this.#value(random.oneIn(6) ? 1 : lv);
        return { k, ...place, lv, v, t: this.#tables(place.a), ...flags, ...this.#write() };
      }
      case 'put': {
        const lv = this.#level();
        return { k, ...this.#place(), lv, v: this.#value(random.oneIn(4) ? lv : 1), ...this.#write() };
      }
      case 'flip': {
        const common = [1, 1, 2, 2, 2, 4, 4, 0x10000, 0x20, 0x40, 0x80, 0x100, 0x200, 0x1000, 0x10000, 0x20000];
        const bits = random.oneIn(5) ? 1 << random.below(28) : random.pick(common);
        return { k, ...this.#place(), lv: this.#level(), bits, ...this.#write() };
      }
      case 'split':
        return { k, ...this.#place(), f: frame(), ...this.#write() };
      case 'merge':
        return { k, ...this.#place(), ...this.#write() };
      case 'use':
        return { k, ...this.#place(), d: random.below(2) as 0 | 1 };
      case 'land':
        return { k, c: cpu(), n: 1 + random.below(3) };
      case 'commit':
        return { k, c: cpu() };
      case 'dma':
      case 'race':
        return { k, f: frame(), s: slot(), v: this.#value() };
      case 'within':
        return { k, ...(random.oneIn(2) ? { f: frame() } : {}), s: slot(), v: this.#value(), c: cpu() };
      case 'monitor':
        return { k, ...this.#watch() };
      case 'unmonitor':
        return { k, ...this.#watch() };
      case 'force':
        return { k, ...this.#watch() };
      case 'range':
        return { k, ...this.#watch(), n: this.#rangeBytes(), ...(random.below(2) < this.#runs ? { runs: true } : {}) };
      case 'unrange':
        return { k, ...this.#watch(), n: this.#rangeBytes() };
      case 'unview':
      case 'newview':
      case 'killview':
        return { k, g: view() };
      case 'unall':
        return { k };
      case 'gone':
        return { k, r: random.below(3), ...(random.oneIn(2) ? { g: view() } : {}) };
      case 'resync':
        return { k, ...(random.oneIn(4) ? { g: view() } : {}) };
    }
  }
}
