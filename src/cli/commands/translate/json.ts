/** A translation as a line of JSON (docs/formats/translate.md). Addresses and values are strings, as in JSONL. */
import { hex } from '../../../core/address/va.ts';
import type { Paging } from '../../../core/paging/format.ts';
import type { Walk } from '../../../core/paging/walk.ts';
import { JSONL_VERSION } from '../../../sinks/jsonl-format.ts';
import { type LinuxExplanation, rightsText } from '../../../linux/index.ts';
import { type EntryTarget, explainEntry } from './explain.ts';
import { nameJson, type SystemFacts } from './kernel-name.ts';

/** One line, with its line feed. */
export function translationJson(paging: Paging, walk: Walk, { system, name }: SystemFacts = {}): string {
  const steps = walk.steps.map((step) => {
    const { name, flags, reservedBits, ignoredBits, target } = explainEntry(paging, step);
    return {
      entry: name,
      level: step.level,
      slot: step.slot,
      entryPa: hex(step.entryPa),
      value: hex(step.value),
      flags,
      reservedBits,
      ignoredBits,
      target: target && targetJson(target),
    };
  });
  const result = walk.translates
    ? { pa: hex(walk.pa), pageSize: walk.pageSize, rights: walk.rights }
    : { reason: walk.reason, level: walk.level };
  return `${JSON.stringify({
    v: JSONL_VERSION,
    kind: 'translation',
    mode: paging.mode.name,
    root: hex(walk.root),
    va: hex(walk.va),
    translates: walk.translates,
    ...result,
    ...(name && nameJson(name)),
    ...(system && { system: systemJson(system) }),
    steps,
  })}\n`;
}

function systemJson({ process, area, meaning, device }: LinuxExplanation): object {
  return {
    name: 'linux',
    process: process === undefined ? null : { pid: process.pid, command: process.command },
    area:
      area === undefined
        ? null
        : { start: hex(area.start), end: hex(area.end), rights: rightsText(area.rights), name: area.name },
    meaning: { ...meaning, ...('pa' in meaning && { pa: hex(meaning.pa) }) },
    ...(device && { swapDevice: device.path }),
  };
}

function targetJson(target: EntryTarget): object {
  const pa = hex(target.pa);
  return target.kind === 'table' ? { table: target.name, pa } : { page: target.byteLength, pa };
}
