/**
 * The tokens that names of kallsyms are made of (scripts/kallsyms.c): 256 texts, each with its end, and behind them their offsets as
 * 16-bit numbers. Known by the digits, which are their own tokens in every kernel, at their own codes.
 */
const TOKENS = 256;
const DIGITS = Buffer.from('0\x001\x002\x003\x004\x005\x006\x007\x008\x009\0', 'latin1');
const ZERO = 0x30;
/** Tokens have about 3 bytes; a table is shorter than 64 KiB, since offsets are 16-bit. */
const MAX_TABLE_BYTES = 1 << 16;
/** Places where the digits are that are tried. */
const MAX_PLACES = 64;

export interface TokenTable {
  /** Where the texts begin. */
  readonly at: number;
  /** Where their offsets end. */
  readonly end: number;
  readonly tokens: readonly string[];
}

/** Every table in `bytes`. */
export function tokenTables(bytes: Buffer): TokenTable[] {
  const found: TokenTable[] = [];
  let places = 0;
  for (let at = bytes.indexOf(DIGITS); at >= 0 && places < MAX_PLACES; at = bytes.indexOf(DIGITS, at + 1)) {
    places++;
    const table = tableAround(bytes, at);
    if (table !== undefined) found.push(table);
  }
  return found;
}

/** @param digits where the token of 0 is */
function tableAround(bytes: Buffer, digits: number): TokenTable | undefined {
  const last = Math.min(digits + MAX_TABLE_BYTES, bytes.length - TOKENS * 2);
  for (let index = (digits + DIGITS.length + 3) & ~3; index <= last; index += 4) {
    if (bytes.readUInt16LE(index) !== 0) continue;
    const at = digits - bytes.readUInt16LE(index + ZERO * 2);
    const tokens = at < 0 ? undefined : tokensOf(bytes, at, index);
    if (tokens !== undefined) return { at, end: index + TOKENS * 2, tokens };
  }
  return undefined;
}

/** The texts, where every offset is that of the next one. */
function tokensOf(bytes: Buffer, at: number, index: number): string[] | undefined {
  const tokens: string[] = [];
  let offset = 0;
  for (let token = 0; token < TOKENS; token++) {
    if (bytes.readUInt16LE(index + token * 2) !== offset) return undefined;
    const end = bytes.indexOf(0, at + offset);
    if (end < 0 || end >= index) return undefined;
    tokens.push(bytes.toString('latin1', at + offset, end));
    offset = end + 1 - at;
  }
  return tokens;
}
