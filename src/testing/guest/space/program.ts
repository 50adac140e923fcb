/** The programs that processes run, and the memory areas that loading one creates. */
import type { Kernel } from '../kernel.ts';
import type { AddressSpace } from './address-space.ts';
import { anonymousArea, type Area } from './area-list.ts';
import type { SharedFile } from './shared-file.ts';

interface Program {
  readonly name: string;
  /** Pages of text, of data, of heap. */
  readonly text: number;
  readonly data: number;
  readonly heap: number;
  readonly libraries: readonly string[];
  /** Anonymous memory in units of half a large page. */
  readonly arena: number;
  /** Memory shared by all processes of the program. */
  readonly shared?: { readonly name: string; readonly pages: number };
}

/** Pages of text of each library, and of its data. */
const LIBRARY_TEXT = 24;
const LIBRARY_DATA = 4;
const STACK = 34;

const PROGRAMS: readonly Program[] = [
  { name: 'systemd', text: 40, data: 8, heap: 64, libraries: ['libc.so.6', 'libsystemd.so.0'], arena: 0 },
  { name: 'sshd', text: 30, data: 4, heap: 32, libraries: ['libc.so.6', 'libcrypto.so.3'], arena: 0 },
  { name: 'bash', text: 36, data: 6, heap: 48, libraries: ['libc.so.6', 'libtinfo.so.6'], arena: 0 },
  { name: 'cron', text: 8, data: 2, heap: 16, libraries: ['libc.so.6'], arena: 0 },
  {
    name: 'nginx',
    text: 48,
    data: 8,
    heap: 96,
    libraries: ['libc.so.6', 'libssl.so.3'],
    arena: 2,
    shared: { name: '/dev/zero', pages: 16 },
  },
  {
    name: 'postgres',
    text: 96,
    data: 16,
    heap: 128,
    libraries: ['libc.so.6', 'libssl.so.3'],
    arena: 3,
    shared: { name: '/dev/shm/PostgreSQL', pages: 160 },
  },
  { name: 'redis-server', text: 56, data: 8, heap: 64, libraries: ['libc.so.6'], arena: 6 },
  { name: 'python3', text: 64, data: 16, heap: 192, libraries: ['libc.so.6', 'libpython3.so'], arena: 4 },
  { name: 'java', text: 16, data: 4, heap: 32, libraries: ['libc.so.6', 'libjvm.so'], arena: 7 },
];

/** The name of some program; a machine runs its supervisor first. */
export function someProgram(kernel: Kernel): string {
  return kernel.processes.length === 0 ? PROGRAMS[0]!.name : kernel.random.pick(PROGRAMS).name;
}

/** Gives an empty space the areas of a program. */
export function loadProgram(kernel: Kernel, space: AddressSpace, name: string): void {
  const { layout, random } = kernel;
  const program = PROGRAMS.find((one) => one.name === name) ?? PROGRAMS[0]!;
  const half = kernel.paging.byLevel[2]!.slotPages / 2;
  const shift = (): number => random.below(layout.spread);
  const { areas } = space;
  let next = layout.text + shift();
  for (const part of imageOf(kernel, `/usr/bin/${program.name}`, program.text, program.data)) {
    areas.add({ ...part, start: next });
    next += part.pages;
  }
  areas.add(anonymousArea('[heap]', next + random.below(256), program.heap));
  areas.add(anonymousArea('[stack]', layout.stackTop - shift() - STACK, STACK));

  const top = layout.mapTop - shift();
  const gap = (pages: number): number => areas.gap(pages, { top, bottom: layout.text });
  for (const library of program.libraries) {
    const parts = imageOf(kernel, `/usr/lib/${library}`, LIBRARY_TEXT, LIBRARY_DATA);
    for (let n = parts.length - 1; n >= 0; n--) areas.add({ ...parts[n]!, start: gap(parts[n]!.pages) });
  }
  const { shared } = program;
  if (shared !== undefined) {
    const area = anonymousArea(shared.name, gap(shared.pages), shared.pages);
    areas.add({ ...area, file: kernel.file(shared.name, true), shared: true });
  }
  if (program.arena > 0) areas.add(anonymousArea('[anon]', gap(program.arena * half), program.arena * half));
  if (layout.farMap !== undefined && program.arena > 4) {
    areas.add(anonymousArea('[anon: far]', layout.farMap + shift(), half));
  }
}

const images = new WeakMap<SharedFile, readonly Area[]>();

/** Text, read-only data and data of one file; where they start is for each process to say. */
function imageOf(kernel: Kernel, path: string, text: number, data: number): readonly Area[] {
  const file = kernel.file(path);
  let parts = images.get(file);
  if (parts === undefined) {
    const readOnly = Math.ceil(text / 4);
    parts = [
      { ...anonymousArea(path, 0, text), file, writable: false, executable: true },
      { ...anonymousArea(path, 0, readOnly), file, filePage: text, writable: false },
      { ...anonymousArea(path, 0, data), file, filePage: text + readOnly },
    ];
    images.set(file, parts);
  }
  return parts;
}
