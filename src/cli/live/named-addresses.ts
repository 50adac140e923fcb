/** `--va SYMBOL`: the addresses of a Linux kernel's symbols, once the guest can be read. */
import { makePaging, rootOf } from '../../core/paging/format.ts';
import type { Driver } from '../../driver/driver.ts';
import { addressOfSymbol, kernelCache, openLinux, type FindKernelOptions } from '../../linux/index.ts';
import { typesIn } from '../snapshot/linux-view.ts';
import type { WatchOptions } from './watch-options.ts';

/** How the guest's Linux is looked for: the options name the address space to begin in where the source has no registers. */
export async function linuxOptions(
  { root, paging, btf }: Pick<WatchOptions, 'root' | 'paging' | 'btf'>,
  signal: AbortSignal,
  onWarning?: (warning: string) => void,
): Promise<FindKernelOptions> {
  const given = paging === undefined || root === 'current' ? undefined : makePaging({ mode: paging });
  return {
    cache: kernelCache(),
    signal,
    ...(given !== undefined && root !== 'current' && { space: { paging: given, root: rootOf(given, root) } }),
    ...(btf !== undefined && { types: await typesIn(btf) }),
    ...(onWarning !== undefined && { onWarning }),
  };
}

/**
 * The options with an address in the place of each symbol. The guest must be stopped, or sampled.
 *
 * @throws PtmonError `bad-argument` for a symbol that the kernel does not have; as `openLinux`
 */
export async function withAddresses<Options extends WatchOptions>(
  driver: Driver,
  options: Options,
  signal: AbortSignal,
): Promise<Options> {
  const { va } = options;
  if (va === undefined || va.every(({ symbol }) => symbol === undefined)) return options;
  const linux = await openLinux(driver, await linuxOptions(options, signal));
  const { symbols } = await linux.names();
  const resolved = va.map((address) => {
    const { symbol } = address;
    if (symbol === undefined) return address;
    return { va: addressOfSymbol(symbols, symbol, `--va ${symbol}`), byteLength: address.byteLength, tag: address.tag };
  });
  return { ...options, va: resolved };
}
