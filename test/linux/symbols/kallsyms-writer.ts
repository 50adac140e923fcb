/** Writes the tables of kallsyms as scripts/kallsyms.c lays them out, for kernels of each age. */

export interface WrittenSymbol {
  readonly address: bigint;
  readonly type: string;
  readonly name: string;
}

export interface KallsymsPlan {
  readonly symbols: readonly WrittenSymbol[];
  /** `6.1`: offsets before the names; `6.2`: with seqs_of_names behind the markers; `6.4`: offsets behind the tokens; `7.0`: without relative_base. */
  readonly order: '6.1' | '6.2' | '6.4' | '7.0';
  /**
   * `percpu`: as 64-bit kernels for several processors until 6.15; `relative`: unsigned offsets; `absolute`: no offsets; `place`: from where
   * each offset is.
   */
  readonly addresses: 'percpu' | 'relative' | 'absolute' | 'place';
  /** Where the tables are. */
  readonly at?: bigint;
  readonly wordBytes: 8 | 4;
  /** relative_base. */
  readonly base: bigint;
}

/** Pieces of names that become tokens, beside every character that is one itself. */
const PIECES = ['_init', 'sys_', 'tcp', 'Tfunction_', '__'];

export function writeKallsyms(plan: KallsymsPlan): Buffer {
  const { symbols, order, wordBytes, base } = plan;
  const alignment = order === '7.0' ? 4 : wordBytes;
  const tokens = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code));
  tokens[0] = 'unused';
  for (const [at, piece] of PIECES.entries()) tokens[0x80 + at] = piece;

  const parts: Buffer[] = [];
  let length = 0;
  const add = (bytes: Buffer) => {
    const padding = Buffer.alloc(-length & (alignment - 1));
    parts.push(padding, bytes);
    length += padding.length + bytes.length;
  };
  const names = symbols.map(({ type, name }) => nameBytes(tokens, type + name));
  const marks: number[] = [];
  let at = 0;
  for (const [index, name] of names.entries()) {
    if (index % 256 === 0) marks.push(at);
    at += name.length;
  }
  const addNames = () => {
    add(numbers([symbols.length]));
    add(Buffer.concat(names));
    add(numbers(marks));
    if (order === '6.2') add(Buffer.from(symbols.flatMap((_, index) => [0, (index >> 8) & 0xff, index & 0xff])));
  };
  const addTokens = () => {
    const texts = tokens.map((token) => Buffer.from(`${token}\0`, 'latin1'));
    add(Buffer.concat(texts));
    let offset = 0;
    const offsets = Buffer.alloc(512);
    for (const [code, text] of texts.entries()) {
      offsets.writeUInt16LE(offset, code * 2);
      offset += text.length;
    }
    add(offsets);
  };
  const addAddresses = () => {
    if (plan.addresses === 'absolute')
      return add(Buffer.concat(symbols.map(({ address }) => word(address, wordBytes))));
    const place = (plan.at ?? 0n) + BigInt(length + (-length & (alignment - 1)));
    const offsets = symbols.map(({ address }, index) =>
      plan.addresses === 'place' ? address - place - BigInt(index * 4) : offsetOf(plan, address),
    );
    add(numbers(offsets.map(Number)));
    if (order !== '7.0') add(word(base, wordBytes));
  };
  if (order === '6.4' || order === '7.0') {
    addNames();
    addTokens();
    addAddresses();
    // seqs_of_names
    add(Buffer.alloc(symbols.length * 3, 1));
  } else {
    addAddresses();
    addNames();
    addTokens();
  }
  return Buffer.concat(parts);
}

function offsetOf({ addresses, base }: KallsymsPlan, address: bigint): bigint {
  if (addresses === 'relative') return address - base;
  return address < base ? address : base - 1n - address;
}

function nameBytes(tokens: readonly string[], text: string): Buffer {
  const codes: number[] = [];
  for (let at = 0; at < text.length; ) {
    const piece = PIECES.find((each) => text.startsWith(each, at));
    const token = piece ?? text[at]!;
    codes.push(tokens.indexOf(token));
    at += token.length;
  }
  const length = codes.length;
  return Buffer.from([...(length < 0x80 ? [length] : [(length & 0x7f) | 0x80, length >> 7]), ...codes]);
}

function numbers(values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) bytes.writeInt32LE(value | 0, index * 4);
  return bytes;
}

function word(value: bigint, wordBytes: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes.subarray(0, wordBytes);
}
