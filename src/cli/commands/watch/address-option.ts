/** What `--va` says: `0x…`, `0x…+LENGTH`, each with `=TAG`. */
import { InvalidArgumentError } from 'commander';

export interface AddressOption {
  /** Zero-extended. */
  readonly va: bigint;
  /** Bytes of a range; undefined for one address. */
  readonly byteLength: bigint | undefined;
  readonly tag: string | undefined;
}

const UNITS: Readonly<Record<string, bigint>> = { '': 1n, K: 1n << 10n, M: 1n << 20n, G: 1n << 30n, T: 1n << 40n };

const FORM = /^(0x[0-9a-f]{1,16})(?:\+(0x[0-9a-f]{1,16}|\d{1,20})([KMGT]?))?(?:=(.+))?$/i;

/** Collects a repeatable option. @throws InvalidArgumentError which commander shows */
export function addAddress(text: string, before: readonly AddressOption[] = []): AddressOption[] {
  const match = FORM.exec(text);
  if (match === null) {
    throw new InvalidArgumentError(
      'Write 0x…, or 0x…+LENGTH for a range (K, M, G, T after it), and =TAG after either.',
    );
  }
  const [, va = '', length, unit = '', tag] = match;
  const byteLength = length === undefined ? undefined : BigInt(length) * UNITS[unit.toUpperCase()]!;
  return [...before, { va: BigInt(va), byteLength, tag }];
}

/** `current`, or the physical address of a top-level table. */
export function rootOption(text: string): 'current' | bigint {
  if (text === 'current') return text;
  if (/^0x[0-9a-f]{1,16}$/i.test(text)) return BigInt(text);
  throw new InvalidArgumentError('Write current, or 0x… for the physical address of a top-level table (a CR3).');
}
