/** QEMU's option lists, as its command line writes them: `driver,name=value,flag` (qemu(1); util/keyval.c, util/qemu-option.c). */

/** The name of a value that has none of its own: the first one of a list. */
export const IMPLIED = '';

/** A list's values by name. The first value may lack a name; a later word without a value is a flag, `on`. */
export function parseOptionList(text: string): ReadonlyMap<string, string> {
  const options = new Map<string, string>();
  // Two commas are one comma of a value; no argument of a process holds a NUL.
  const parts = text
    .replaceAll(',,', '\0')
    .split(',')
    .map((part) => part.replaceAll('\0', ','));
  for (const [index, part] of parts.entries()) {
    const at = part.indexOf('=');
    if (at > 0) options.set(part.slice(0, at), part.slice(at + 1));
    else if (index === 0) options.set(IMPLIED, part);
    else if (part.startsWith('no') && part.length > 2) options.set(part.slice(2), 'off');
    else if (part !== '') options.set(part, 'on');
  }
  return options;
}

/** Bytes of a size with a suffix, as in `-m 1.5G`; undefined where it is none. @param unit of a number without a suffix */
export function parseSize(text: string, unit: 'B' | 'M'): number | undefined {
  const match = /^(\d+(?:\.\d+)?)([bkmgtpe])?(?:i?b)?$/i.exec(text);
  if (match === null) return undefined;
  const power = 'BKMGTPE'.indexOf((match[2] ?? unit).toUpperCase());
  return Math.round(Number(match[1]) * 1024 ** power);
}

/** Options whose value may begin with a dash: those that are read here, and what an owner of a VM writes freely. */
const TAKES_VALUE = new Set(
  'name qmp qmp-pretty chardev mon object gdb accel machine M m append smbios fw_cfg uuid'.split(' '),
);

/** The arguments of a command line by option, in their order. QEMU takes one dash or two. */
export function optionsOf(args: readonly string[]): readonly (readonly [option: string, value: string | undefined])[] {
  const found: (readonly [string, string | undefined])[] = [];
  for (let index = 0; index < args.length; index++) {
    const name = /^--?([a-z][\w-]*)$/i.exec(args[index]!)?.[1];
    if (name === undefined) continue;
    const value = args[index + 1];
    const hasValue = value !== undefined && (TAKES_VALUE.has(name) || !/^-[a-z-]/i.test(value));
    found.push([name, hasValue ? value : undefined]);
    if (hasValue) index++;
  }
  return found;
}
