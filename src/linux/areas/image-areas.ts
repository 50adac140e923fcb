/** The parts of the kernel's image, by the symbols that its linker script puts around them (arch/x86/kernel/vmlinux.lds.S). */
import type { AreaSource, KernelArea } from './area-source.ts';

const PARTS: readonly (readonly [name: string, from: string, to: string])[] = [
  ['kernel image', '_text', '_end'],
  ['kernel text', '_text', '_etext'],
  ['kernel rodata', '__start_rodata', '__end_rodata'],
  ['kernel data', '_sdata', '_edata'],
  ['kernel init', '__init_begin', '__init_end'],
  ['kernel bss', '__bss_start', '__bss_stop'],
  ['kernel brk', '__brk_base', '__brk_limit'],
];
const PAGE = 4096n;

/** Without symbols, one part: what is mapped of it. */
export function imageAreas({ kernel, symbols }: AreaSource): KernelArea[] {
  const [first, last] = [kernel.image[0], kernel.image.at(-1)];
  const known = PARTS.flatMap(([name, from, to]) => {
    const [start, end] = [symbols?.find(from)?.address, symbols?.find(to)?.address];
    if (start === undefined || end === undefined) return [];
    return [{ name, start: start & ~(PAGE - 1n), end: (end + PAGE - 1n) & ~(PAGE - 1n) }];
  });
  if (known.length > 0 || first === undefined || last === undefined) return known;
  return [{ name: 'kernel image', start: first.va, end: last.va + BigInt(last.byteLength) }];
}
