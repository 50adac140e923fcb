/** Programs map, unmap, protect and move their memory (mm/mmap.c, mm/madvise.c, mm/mprotect.c, mm/mremap.c). */
import type { Random } from '../../random.ts';
import type { Steps } from '../../workload.ts';
import type { AddressSpace } from '../space/address-space.ts';
import { anonymousArea, type Area } from '../space/area-list.ts';
import type { Cpu, Kernel } from '../kernel.ts';
import { largePages } from '../mm/large-page.ts';
import { changeProtection } from '../mm/protect.ts';
import type { Process } from '../space/process.ts';
import { moveEntries } from '../mm/move.ts';
import { freeTables } from '../tables/tables.ts';
import { tableFrames, zap } from '../mm/unmap.ts';
import type { ProcessAction } from './action-kind.ts';

/** A process with more areas than this does not cut them any further. */
const MANY_AREAS = 24;

/** Protection keys are for 64-bit programs only. */
const KEYS = 15;

interface Part {
  readonly area: Area;
  readonly start: number;
  readonly end: number;
}

export const mmap: ProcessAction = {
  weight: 26,
  exclusive: true,
  frames: () => 0,
  begin(cpu, process) {
    const { kernel } = cpu;
    const { areas } = process.space;
    if (areas.all.length >= MANY_AREAS) return undefined;
    const { random } = kernel;
    const large = largePages(kernel);
    const pages = random.oneIn(6) ? large + random.below(2 * large) : random.between(1, 64);
    const start = areas.gap(pages, { top: kernel.layout.mapTop, bottom: kernel.layout.text });
    if (start < 0) return undefined;
    const key = kernel.paging.byLevel[1]!.keyMask !== 0 && random.oneIn(4) ? random.between(1, KEYS) : 0;
    return map(cpu, process, anonymousArea('[anon]', start, pages, key));
  },
};

export const munmap: ProcessAction = {
  weight: 24,
  exclusive: true,
  frames: () => 2,
  begin(cpu, process) {
    const { kernel } = cpu;
    const part = someAnonymousPart(kernel, process);
    return part && isMapped(part.area) ? unmap(cpu, process, part) : undefined;
  },
};

export const madvise: ProcessAction = {
  weight: 22,
  exclusive: true,
  frames: () => 2,
  begin(cpu, process) {
    const { kernel } = cpu;
    const part = someAnonymousPart(kernel, process);
    return part && dontNeed(cpu, process, part);
  },
};

export const mprotect: ProcessAction = {
  weight: 16,
  exclusive: true,
  frames: () => 8,
  begin(cpu, process) {
    const { kernel } = cpu;
    const part = someAnonymousPart(kernel, process);
    if (part === undefined) return undefined;
    const { random } = kernel;
    // Readable and writable again most of the time, or nothing would be left to write to.
    const readable = !random.oneIn(8);
    const writable = readable && !random.oneIn(3);
    const { executable } = part.area;
    return protect(cpu, process, part, {
      readable,
      writable,
      executable: readable && random.oneIn(8) ? !executable : executable,
    });
  },
};

export const mremap: ProcessAction = {
  weight: 10,
  exclusive: true,
  frames: (kernel, process) => tableFrames(kernel, longestAnonymous(process)) + 2,
  begin(cpu, process) {
    const { kernel } = cpu;
    const area = someAnonymous(kernel.random, process);
    if (area === undefined || !isMapped(area)) return undefined;
    // With the same place within a large page, whole page tables can be moved, and large pages stay large.
    const large = largePages(kernel);
    const { mapTop, text } = kernel.layout;
    const start = process.space.areas.gap(area.pages, {
      top: mapTop,
      bottom: text,
      align: large,
      offset: area.start % large,
    });
    return start < 0 ? undefined : move(cpu, process, area, start);
  },
};

function* map(cpu: Cpu, process: Process, area: Area): Steps {
  const { kernel, vcpu } = cpu;
  kernel.log.note(vcpu, process, 'mmap', { vpn: area.start, pages: area.pages });
  process.space.areas.add(area);
}

function* unmap(cpu: Cpu, process: Process, { area, start, end }: Part): Steps {
  const { kernel, vcpu } = cpu;
  const { space } = process;
  kernel.log.note(vcpu, process, 'munmap', { vpn: start, pages: end - start });
  space.areas.cut(area, start, end);
  yield* zap(cpu, space, start, end);
  yield* freeTables(cpu, space, [{ start, pages: end - start }]);
}

function* dontNeed(cpu: Cpu, process: Process, { start, end }: Part): Steps {
  const { kernel, vcpu } = cpu;
  kernel.log.note(vcpu, process, 'madvise', { vpn: start, pages: end - start });
  yield* zap(cpu, process.space, start, end);
}

function* protect(cpu: Cpu, process: Process, part: Part, rights: Partial<Area>): Steps {
  const { kernel, vcpu } = cpu;
  const { area, start, end } = part;
  kernel.log.note(vcpu, process, 'mprotect', { vpn: start, pages: end - start });
  const changed = process.space.areas.change(area, start, end, rights);
  yield* changeProtection(cpu, process.space, changed);
}

function* move(cpu: Cpu, process: Process, area: Area, start: number): Steps {
  const { kernel, vcpu } = cpu;
  const { space } = process;
  kernel.log.note(vcpu, process, 'mremap', { vpn: area.start, pages: area.pages, newVpn: start });
  space.areas.add({ ...area, start });
  yield* moveEntries(cpu, space, area, start);
  space.areas.remove(area);
  yield* freeTables(cpu, space, [area]);
}

/** Whether the program has got it from `mmap`, and may give it back or have it moved: not its heap, not its stack. */
function isMapped(area: Area): boolean {
  return area.name.startsWith('[anon');
}

/** What programs play with: private memory that no file fills. */
function anonymous(space: AddressSpace): readonly Area[] {
  return space.areas.all.filter((area) => area.file === undefined);
}

function someAnonymous(random: Random, process: Process): Area | undefined {
  const areas = anonymous(process.space);
  return areas.length === 0 ? undefined : random.pick(areas);
}

function longestAnonymous(process: Process): number {
  return anonymous(process.space).reduce((most, area) => Math.max(most, area.pages), 0);
}

/** Some pages of some anonymous area; all of it where the process has many areas already. */
function someAnonymousPart(kernel: Kernel, process: Process): Part | undefined {
  const { random } = kernel;
  const area = someAnonymous(random, process);
  if (area === undefined || area.name === '[stack]') return undefined;
  if (process.space.areas.all.length >= MANY_AREAS || random.oneIn(3)) {
    return { area, start: area.start, end: area.start + area.pages };
  }
  const start = area.start + random.below(area.pages);
  const most = random.oneIn(4) ? area.pages : 32;
  return { area, start, end: Math.min(area.start + area.pages, start + random.between(1, most)) };
}
