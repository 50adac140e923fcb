/**
 * The oracle of translation: one walk, in bigint, written from the manuals' tables and from nothing of ours, so that a
 * mistake in `src/core/paging` cannot repeat itself here. Slow and short on purpose.
 *
 * Intel SDM vol. 3A, "Paging": 32-bit (4.3), PAE (4.4), 4-level and 5-level (4.5), rights (4.6), keys (4.6.2).
 * AMD64 APM vol. 2, 7.10 (the encryption bit is neither address nor reserved; entries of 32 bits have no room for it).
 */

/** The same words as the package's `PagingOptions`, so one object serves both. */
export interface NaiveOptions {
  readonly mode: '4-level' | '5-level' | 'pae' | '32-bit';
  readonly physicalAddressBits?: number;
  readonly encryptionMask?: bigint;
  readonly noExecuteEnable?: boolean;
  readonly pageSizeExtensions?: boolean;
  readonly vendor?: 'intel' | 'amd';
  readonly gigabytePages?: boolean;
}

export interface NaiveEntry {
  readonly pa: bigint;
  readonly value: bigint;
  readonly level: number;
}

export interface NaiveTranslation {
  readonly pa: bigint;
  readonly pageSize: bigint;
  readonly writable: boolean;
  readonly user: boolean;
  readonly noExecute: boolean;
  readonly key: number;
  readonly entries: readonly NaiveEntry[];
}

export interface NaiveStop {
  readonly reason: 'non-canonical' | 'no-memory' | 'not-present' | 'reserved-bit';
  /** 1 (PT) to 5 (PML5); null where no table was looked at. */
  readonly level: number | null;
  readonly entries: readonly NaiveEntry[];
}

const LEVELS = { '5-level': 5, '4-level': 4, pae: 3, '32-bit': 2 };
const VA_BITS = { '5-level': 57, '4-level': 48, pae: 32, '32-bit': 32 };

/** Bits high:low, as the manuals write them; none where high < low. */
const bits = (high: number, low: number): bigint =>
  high < low ? 0n : ((1n << BigInt(high - low + 1)) - 1n) << BigInt(low);

/** @param readEntry undefined where there is no memory */
export function naiveWalk(
  options: NaiveOptions,
  readEntry: (pa: bigint, bytes: number) => bigint | undefined,
  root: bigint,
  va: bigint,
): NaiveTranslation | NaiveStop {
  const { mode, physicalAddressBits: M = 52, noExecuteEnable: nxe = true, pageSizeExtensions: pse = true } = options;
  const { vendor = 'intel', gigabytePages = true } = options;
  const long = mode === '4-level' || mode === '5-level';
  const pae = mode === 'pae';
  const legacy = mode === '32-bit';
  const notEncryption = ~(legacy ? 0n : (options.encryptionMask ?? 0n));
  const entries: NaiveEntry[] = [];

  const canonical = long ? BigInt.asUintN(64, BigInt.asIntN(VA_BITS[mode], va)) === va : va < 1n << 32n;
  if (!canonical) return { reason: 'non-canonical', level: null, entries };

  let table = root & (pae ? bits(31, 5) : legacy ? bits(31, 12) : bits(51, 12)) & notEncryption;
  let [writable, user, noExecute] = [true, true, false];
  for (let level = LEVELS[mode]; ; level--) {
    const pdpte = pae && level === 3;
    const shift = 12 + (level - 1) * (legacy ? 10 : 9);
    const index = (va >> BigInt(shift)) & (pdpte ? 3n : legacy ? 1023n : 511n);
    const pa = table + index * (legacy ? 4n : 8n);
    const value = readEntry(pa, legacy ? 4 : 8);
    if (value === undefined) return { reason: 'no-memory', level, entries };
    entries.push({ pa, value, level });
    const bit = (n: number) => (value & bits(n, n)) !== 0n;
    if (!bit(0)) return { reason: 'not-present', level, entries };

    const large = bit(7) && (level === 2 ? !legacy || pse : level === 3 && long && gigabytePages);
    let reserved = 0n;
    if (legacy && large) reserved |= bits(21, Math.min(M, 40) - 19);
    if (!legacy) reserved |= bits(51, M) | (nxe ? 0n : bits(63, 63));
    if (!legacy && large) reserved |= bits(shift - 1, 13);
    if (long && level >= 4) reserved |= bits(7, 7);
    if (long && level >= 4 && vendor === 'amd') reserved |= bits(8, 8);
    if (long && level === 3 && !gigabytePages) reserved |= bits(7, 7);
    if (pae) reserved |= bits(62, 52);
    if (pdpte) reserved |= bits(63, 63);
    if ((value & reserved & notEncryption) !== 0n) return { reason: 'reserved-bit', level, entries };

    if (!pdpte) [writable, user, noExecute] = [writable && bit(1), user && bit(2), noExecute || bit(63)];
    if (large || level === 1) {
      const high = legacy && large ? (value & bits(20, 13)) << 19n : 0n;
      const frame = (value & bits(legacy ? 31 : 51, shift) & notEncryption) | high;
      const key = long ? Number((value >> 59n) & 15n) : 0;
      return {
        pa: frame | (va & bits(shift - 1, 0)),
        pageSize: 1n << BigInt(shift),
        writable,
        user,
        noExecute,
        key,
        entries,
      };
    }
    table = value & bits(legacy ? 31 : 51, 12) & notEncryption;
  }
}
