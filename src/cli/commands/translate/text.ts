/** A translation as text, level by level. */
import { hex } from '../../../core/address/va.ts';
import type { Paging } from '../../../core/paging/format.ts';
import type { NoTranslation, Walk } from '../../../core/paging/walk.ts';
import { explanationText } from '../../../linux/index.ts';
import { printable } from '../../../sinks/printable.ts';
import { columns } from '../../output/columns.ts';
import { type EntryExplanation, entryName, type EntryTarget, explainEntry, rightsNames } from './explain.ts';
import { nameText, type SystemFacts } from './kernel-name.ts';

/** Lines without line feeds. @param facts what the guest's system knows of the address */
export function translationLines(paging: Paging, walk: Walk, { system, name }: SystemFacts = {}): string[] {
  const entries = walk.steps.map((step) => explainEntry(paging, step));
  const rows = entries.map(({ name, step, target }) => [
    name,
    String(step.slot),
    'at',
    hex(step.entryPa),
    '=',
    hex(step.value),
    target === null ? '' : `→ ${targetText(target)}`,
  ]);
  const lines = columns(rows).flatMap((row, at) => [`  ${row}`, `        ${flagsText(entries[at]!, paging)}`]);
  return [
    `${hex(walk.va)}: root ${hex(walk.root)}, ${paging.mode.name} paging`,
    ...(name === undefined ? [] : [`  ${printable(nameText(name))}`]),
    ...lines,
    `  ${walk.translates ? resultText(walk) : `does not translate: ${stopText(paging, walk, entries)}`}`,
    ...(system === undefined ? [] : [`  Linux: ${printable(explanationText(system))}`]),
  ];
}

/** `4 KiB`, `2 MiB`, … */
export function pageSizeText(byteLength: number): string {
  const [unit, name] =
    byteLength >= 2 ** 30 ? [2 ** 30, 'GiB'] : byteLength >= 2 ** 20 ? [2 ** 20, 'MiB'] : [1024, 'KiB'];
  return `${byteLength / unit} ${name}`;
}

function targetText(target: EntryTarget): string {
  return `${target.kind === 'table' ? target.name : `${pageSizeText(target.byteLength)} page`} at ${hex(target.pa)}`;
}

function flagsText({ step, flags, reservedBits, ignoredBits }: EntryExplanation, paging: Paging): string {
  const words = [...flags];
  if (reservedBits.length > 0) words.push(`reserved: ${reservedText(reservedBits, paging)}`);
  if (ignoredBits.length > 0) words.push(`ignored: ${bitsText(ignoredBits)}`);
  if (flags[0] === 'not present' && step.value !== 0n) words.push('the operating system uses the other bits');
  return words.join(', ');
}

function resultText(walk: Extract<Walk, { translates: true }>): string {
  return `translates to ${hex(walk.pa)}: ${pageSizeText(walk.pageSize)} page, ${rightsNames(walk.rights).join(', ')}`;
}

function stopText(paging: Paging, walk: NoTranslation, entries: readonly EntryExplanation[]): string {
  const { reason, level } = walk;
  const last = entries.at(-1);
  if (reason === 'non-canonical' || level === null) {
    const { canonical, name, vaBits } = paging.mode;
    const why = canonical ? `its bits 63:${vaBits - 1} are not all the same` : `it has more than ${vaBits} bits`;
    return `it is not an address of ${name} paging: ${why}`;
  }
  const { name } = paging.byLevel[level]!;
  if (reason === 'no-memory') {
    const pa = last?.target?.pa ?? walk.root;
    return `the ${name} at ${hex(pa)} (level ${level}) lies outside RAM`;
  }
  const entry = `the ${entryName(name)} (level ${level})`;
  if (reason === 'not-present') return `${entry} is not present`;
  return `${entry} has reserved bits set: ${reservedText(last?.reservedBits ?? [], paging)}`;
}

/** The bits; with the reason for those that are reserved only on some machines. */
function reservedText(bits: readonly number[], { physicalAddressBits, mode }: Paging): string {
  const beyond = bits.filter((bit) => bit >= physicalAddressBits && bit < 52);
  const executable = bits.filter((bit) => bit === 63 && mode.name !== 'pae');
  const others = bits.filter((bit) => !beyond.includes(bit) && !executable.includes(bit));
  return [
    ...(others.length > 0 ? [bitsText(others)] : []),
    ...(beyond.length > 0 ? [`${bitsText(beyond)} (MAXPHYADDR is ${physicalAddressBits})`] : []),
    ...(executable.length > 0 ? ['bit 63 (EFER.NXE is off)'] : []),
  ].join(', ');
}

/** `bit 7`, `bits 13 14 58`. */
function bitsText(bits: readonly number[]): string {
  return `${bits.length === 1 ? 'bit' : 'bits'} ${bits.join(' ')}`;
}
