/** What a watch waits for when it begins: processes or maps that do not exist yet, perhaps because a name is misspelt. */
import {
  isOfMap,
  isWanted,
  type LinuxGuest,
  mapNameOf,
  mapText,
  type Process,
  type ProcessSelection,
} from '../../linux/index.ts';

/** Names that a line lists. */
const LISTED = 12;

/** Lines that say what does not exist yet, and what exists instead. Empty if every target exists. */
export async function waitingLines(linux: LinuxGuest, selection: ProcessSelection): Promise<string[]> {
  const { processes } = await linux.processes();
  const withMemory = processes.filter(({ mm }) => mm !== null);
  const targets = withMemory.filter((process) => isWanted(selection, process));
  const { by, map } = selection;
  if (targets.length === 0) {
    const names = [...new Set(withMemory.map(({ command }) => command))].sort();
    if ('pid' in by) return [];
    const wanted = 'command' in by ? by.command : by.commands.join(' or ');
    return [`No process is named ${wanted} yet: waiting for one. Processes: ${listed(names)}.`];
  }
  const lines: string[] = [];
  if (map === undefined) return lines;
  for (const process of targets) {
    const { areas } = await linux.map(process.pid);
    if (areas.some((area) => isOfMap(map, area))) continue;
    const names = [...new Set(areas.map(({ name }) => mapNameOf(name)))].sort();
    lines.push(`${nameOf(process)} has no area ${mapText(map)} yet: waiting for it. Its areas: ${listed(names)}.`);
  }
  return lines;
}

function nameOf({ command, pid }: Process): string {
  return `${command}[${pid}]`;
}

function listed(names: readonly string[]): string {
  const more = names.length - LISTED;
  return `${names.slice(0, LISTED).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
