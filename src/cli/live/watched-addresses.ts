/** The addresses and ranges of `--va`. */
import type { Session } from '../../session/session.ts';
import type { AddressOption } from '../options/address.ts';

const PAGE_BYTES = 4096n;
/** The most pages that are verified: QEMU translates each of them at each stop. */
export const MAX_VERIFIED_PAGES = 1n << 16n;

export interface WatchedPage {
  readonly root: number;
  readonly va: bigint;
}

export async function watchAddresses(
  session: Session,
  root: number,
  addresses: readonly AddressOption[],
): Promise<void> {
  for (const { va, byteLength, tag } of addresses) {
    await session.watch({
      root,
      va,
      ...(byteLength !== undefined && { byteLength }),
      ...(tag !== undefined && { tag }),
    });
  }
}

/** Each address, and each page of a range. */
export function* pagesOf(root: number, addresses: readonly AddressOption[]): Generator<WatchedPage> {
  for (const { va, byteLength } of addresses) {
    const start = byteLength === undefined ? va : va - (va % PAGE_BYTES);
    for (let at = start; at < va + (byteLength ?? 1n); at += PAGE_BYTES) yield { root, va: at };
  }
}

export function countPages(addresses: readonly AddressOption[]): bigint {
  const pages = ({ va, byteLength = 1n }: AddressOption) => (va + byteLength - 1n) / PAGE_BYTES - va / PAGE_BYTES + 1n;
  return addresses.reduce((sum, address) => sum + pages(address), 0n);
}
