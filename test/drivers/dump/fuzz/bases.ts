/** Sound dumps of a small guest with page tables, one of each kind: what is spoiled afterwards. */
import { deflateSync } from 'node:zlib';
import { compress } from 'snappyjs';
import { PRESENT, SpaceBuilder, USER, WRITABLE } from '../../../snapshot/space.ts';
import {
  avmlDump,
  libvirtSave,
  migrationStream,
  virtualBoxCore,
  vmwareCheckpoint,
  windowsDump,
  xenCore,
} from '../write-containers.ts';
import { qcow2Image } from '../write-qcow2.ts';
import {
  elfDump,
  flattened,
  type Frames,
  kdumpDump,
  type KdumpOptions,
  limeDump,
  notesOf,
  PAGE,
} from '../write-dump.ts';

export const FUZZED_FORMATS = [
  'elf',
  'kdump',
  'flattened',
  'lime',
  'raw',
  'avml',
  'migration',
  'virsh-save',
  'qcow2',
  'vmware',
  'virtualbox',
  'xen',
  'windows',
] as const;
export type FuzzedFormat = (typeof FUZZED_FORMATS)[number];

export const TABLES_AT = 0x10_0000;
export const KERNEL_VA = 0xffff_8880_0000_0000n;

const TEXT = 'SYMBOL(init_top_pgt)=ffffffffaf410000\nNUMBER(phys_base)=-603979776\nNUMBER(pgtable_l5_enabled)=0\n';

const space = new SpaceBuilder()
  .map(KERNEL_VA, 300, 0n, PRESENT | WRITABLE)
  .map(0x40_0000n, 8, 0x2000n, PRESENT | WRITABLE | USER);

/** Some frames of data, and the tables behind a hole. */
function framesOf(): Frames {
  const frames = new Map<number, Uint8Array>();
  for (let gfn = 0; gfn < 6; gfn++) frames.set(gfn, Buffer.alloc(PAGE, `frame ${gfn} of data `));
  const { byteLength } = space.snapshot().regions[0]!;
  for (let gfn = TABLES_AT / PAGE; gfn < byteLength / PAGE; gfn++) {
    frames.set(gfn, new Uint8Array(space.machine.memory.page(gfn)!.slice().buffer));
  }
  return frames;
}

const FRAMES = framesOf();
const CPU = { cr0: 0x8000_0001n, cr3: space.root, cr4: 0x20n };

type Store = NonNullable<KdumpOptions['store']>;
const smaller =
  (flags: number, make: (page: Uint8Array) => Uint8Array): Store =>
  (page) => {
    const bytes = make(page);
    return bytes.length < PAGE ? { flags, bytes } : { flags: 0, bytes: page };
  };
/** A literal run, the rest a copy of zeroes: what LZO makes of a page that is mostly zeroes. */
const lzo: Store = (page) => {
  const end = page.findLastIndex((byte) => byte !== 0) + 1;
  const literals = Math.max(end + 1, 22);
  if (literals > PAGE - 300) return { flags: 0, bytes: page };
  const long = (value: number) => {
    const zeroes = Math.floor((value - 1) / 255);
    return [...Buffer.alloc(zeroes), value - zeroes * 255];
  };
  const copy = PAGE - literals - 2 - 31;
  const bytes = [0, ...long(literals - 18), ...page.subarray(0, literals), 0b001_00000, ...long(copy), 0, 0, 17, 0, 0];
  return { flags: 2, bytes: Uint8Array.from(bytes) };
};
/** One block that repeats a byte, where a page is like that. */
const zstd: Store = (page) =>
  page.every((byte) => byte === page[0])
    ? { flags: 0x20, bytes: Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x60, 0, 15, 3, 0x80, 0, page[0]!) }
    : { flags: 0, bytes: page };

const notes = notesOf([CPU], { text: TEXT });
const kdumps = [
  kdumpDump(FRAMES, { notes }),
  kdumpDump(FRAMES, { notes, store: smaller(1, (page) => deflateSync(page)) }),
  kdumpDump(FRAMES, { notes, store: smaller(4, (page) => compress(page.slice())) }),
  kdumpDump(FRAMES, { notes, store: lzo }),
  kdumpDump(new Map([...FRAMES, [6, new Uint8Array(PAGE)]]), { notes, store: zstd, dumpLevel: 31, leftOut: [7, 8] }),
  kdumpDump(FRAMES, { is64: false, text: TEXT }),
];

/** For each format, its bytes. */
export const BASES: Readonly<Record<FuzzedFormat, readonly Buffer[]>> = {
  elf: [
    elfDump(FRAMES, { notes }),
    elfDump(FRAMES, { notes, aliases: 40, extended: true }),
    elfDump(FRAMES, { is64: false }),
  ],
  kdump: kdumps,
  flattened: [flattened(kdumps[1]!), flattened(elfDump(FRAMES, { notes }))],
  lime: [limeDump(FRAMES)],
  avml: [avmlDump(FRAMES, 2 * PAGE)],
  migration: [migrationStream(FRAMES)],
  'virsh-save': [libvirtSave(migrationStream(FRAMES))],
  qcow2: [qcow2Image([{ name: 'a', state: migrationStream(FRAMES) }], { clusterBits: 9 })],
  vmware: [vmwareCheckpoint(FRAMES, { inside: true }).vmss],
  virtualbox: [virtualBoxCore(FRAMES)],
  xen: [xenCore(FRAMES, 'hvm'), xenCore(FRAMES, 'pv')],
  windows: [windowsDump(FRAMES), windowsDump(FRAMES, { type: 5 }), windowsDump(FRAMES, { is64: false })],
  raw: [Buffer.concat(Array.from({ length: 320 }, (_, gfn) => FRAMES.get(gfn) ?? new Uint8Array(PAGE)))],
};
