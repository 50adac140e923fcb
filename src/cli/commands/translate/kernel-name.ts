/** What a kernel calls one of its addresses. */
import { type KernelArea, type LinuxExplanation, type NamedAddress, symbolText } from '../../../linux/index.ts';

export interface KernelName {
  readonly symbol: NamedAddress | undefined;
  readonly area: KernelArea | undefined;
}

/** What the guest's system knows of an address. */
export interface SystemFacts {
  /** What its entry means; undefined for an address that translates. */
  readonly system?: LinuxExplanation | undefined;
  readonly name?: KernelName | undefined;
}

/** `schedule+0x12, kernel text`. */
export function nameText({ symbol, area }: KernelName): string {
  return [symbol && symbolText(symbol), area?.name].filter((part) => part !== undefined).join(', ');
}

export function nameJson({ symbol, area }: KernelName): object {
  return {
    ...(symbol && {
      symbol: {
        name: symbol.symbol.name,
        offset: `0x${symbol.offset.toString(16)}`,
        module: symbol.symbol.module,
      },
    }),
    ...(area && { kernelArea: area.name }),
  };
}
