/** Addresses as options: `--va` with ranges and tags, `--root`. */
import { InvalidArgumentError } from 'commander';
import { HEX, parseAddress } from './values.ts';

export interface AddressOption {
  /** Zero-extended. */
  readonly va: bigint;
  /** Bytes of a range; undefined for one address. */
  readonly byteLength: bigint | undefined;
  readonly tag: string | undefined;
  /** The kernel's symbol whose address it is: `va` is then not known yet. */
  readonly symbol?: string;
}

/** The address space that addresses belong to: the one that a vCPU has loaded, or that of a top-level table. */
export type RootOption = 'current' | bigint;

const UNITS: Readonly<Record<string, bigint>> = { '': 1n, K: 1n << 10n, M: 1n << 20n, G: 1n << 30n, T: 1n << 40n };

const FORM = new RegExp(`^${HEX}(?:\\+(0x[0-9a-f]{1,16}|\\d{1,20})([KMGT]?))?(?:=(.+))?$`, 'i');

/** A symbol of a kernel, which begins with no digit; as for an address, what is behind `+` is a length. */
const SYMBOL_FORM = /^([A-Za-z_.$][\w.$@]{0,511})(?:\+(0x[\da-f]{1,16}|\d{1,20})([KMGT]?))?(?:=(.+))?$/i;

/** Collects a repeatable option whose addresses may be symbols. @throws InvalidArgumentError, which commander prints */
export function addAddressOrSymbol(text: string, before: readonly AddressOption[] = []): AddressOption[] {
  const match = FORM.test(text) ? null : SYMBOL_FORM.exec(text);
  if (match === null) return addAddress(text, before);
  const [, symbol = '', length, unit = '', tag] = match;
  return [...before, { va: 0n, byteLength: bytesOf(length, unit), tag: tag ?? symbol, symbol }];
}

/** Collects a repeatable option. @throws InvalidArgumentError, which commander prints */
export function addAddress(text: string, before: readonly AddressOption[] = []): AddressOption[] {
  const match = FORM.exec(text);
  if (match === null) {
    const isAddress = new RegExp(`^${HEX}[+=]`, 'i').test(text);
    throw new InvalidArgumentError(
      isAddress ? 'a range is 0x…+LENGTH (K, M, G or T after it); =TAG goes last' : 'not a hexadecimal address',
    );
  }
  const [, digits = '', length, unit = '', tag] = match;
  return [...before, { va: BigInt(`0x${digits}`), byteLength: bytesOf(length, unit), tag }];
}

function bytesOf(length: string | undefined, unit: string): bigint | undefined {
  return length === undefined ? undefined : BigInt(length) * UNITS[unit.toUpperCase()]!;
}

/** `current`, or the physical address of a top-level table. */
export function rootOption(text: string): RootOption {
  if (text === 'current') return text;
  const root = parseAddress(text);
  if (root !== undefined) return root;
  throw new InvalidArgumentError(
    'neither "current" nor a hexadecimal address of a top-level table (the value of a CR3)',
  );
}
