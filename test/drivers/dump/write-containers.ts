/** Writes the files that hold memory of other programs than kdump's, from the definitions of their formats. */
import { compress } from 'snappyjs';
import { maskedCrc } from '../../../src/drivers/dump/lime/snappy-frames.ts';
import { type Cpu, CPU, elfDump, type Frames, PAGE, runsOf } from './write-dump.ts';

const u8 = (...values: readonly number[]) => Buffer.from(values);
const u32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const u64 = (value: number | bigint) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)));
  return bytes;
};
const be32 = (value: number) => Buffer.from(u32(value)).reverse();
const be64 = (value: number | bigint) => Buffer.from(u64(value)).reverse();
const text = (value: string) => Buffer.concat([u8(value.length), Buffer.from(value, 'latin1')]);

export interface MigrationOptions {
  readonly machine?: string;
  readonly cpus?: readonly Cpu[];
  /** Bytes of the block of RAM. */
  readonly ramBytes?: number;
  /** Sent first, and then again as they are. */
  readonly earlier?: Frames;
}

const EFER = 0xd01n;

/** A migration stream of QEMU. */
export function migrationStream(frames: Frames, options: MigrationOptions = {}): Buffer {
  const { machine = 'pc-i440fx-7.2', cpus = [CPU], earlier = new Map() } = options;
  const ramBytes = options.ramBytes ?? (Math.max(...frames.keys()) + 1) * PAGE;
  const section = (type: number, id: number, ...rest: readonly Uint8Array[]) =>
    Buffer.concat([u8(type), be32(id), ...rest, u8(0x7e), be32(id)]);
  const blocks = [
    { name: 'pc.ram', byteLength: ramBytes },
    { name: 'pc.bios', byteLength: 2 * PAGE },
  ];
  const total = blocks.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const list = blocks.map(({ name, byteLength }) => Buffer.concat([text(name), be64(byteLength)]));
  let last = '';
  const pagesOf = (name: string, pages: Frames) =>
    [...pages].map(([gfn, page]) => {
      const same = last === name ? 0x20 : 0;
      last = name;
      const isFill = page.every((byte) => byte === page[0]);
      const head = [be64(BigInt(gfn * PAGE) | BigInt(same | (isFill ? 0x02 : 0x08))), ...(same ? [] : [text(name)])];
      return Buffer.concat([...head, isFill ? u8(page[0]!) : page]);
    });
  const END = be64(0x10);
  const cpuFields = [
    { name: 'env.regs', array_len: 16, type: 'uint64', size: 8 },
    { name: 'env.cr[0]', type: 'uint64', size: 8 },
    { name: 'env.cr[2]', type: 'uint64', size: 8 },
    { name: 'env.cr[3]', type: 'uint64', size: 8 },
    { name: 'env.cr[4]', type: 'uint64', size: 8 },
    { name: 'env.efer', type: 'uint64', size: 8 },
  ];
  const description = Buffer.from(
    JSON.stringify({ page_size: PAGE, devices: [{ name: 'cpu', instance_id: 0, version: 12, fields: cpuFields }] }),
  );
  return Buffer.concat([
    Buffer.from('QEVM'),
    be32(3),
    u8(7),
    be32(machine.length),
    Buffer.from(machine),
    section(1, 2, text('ram'), be32(0), be32(4), be64(BigInt(total) | 0x04n), ...list, END),
    section(2, 2, ...pagesOf('pc.ram', earlier), END),
    section(2, 2, ...pagesOf('pc.bios', new Map([[0, Buffer.alloc(PAGE, 'bios ')]])), END),
    section(3, 2, ...pagesOf('pc.ram', frames), END),
    ...cpus.map(({ cr0, cr3, cr4 }, index) =>
      section(
        4,
        5 + index,
        text('cpu'),
        be32(index),
        be32(12),
        Buffer.alloc(128, 0x5a),
        ...[cr0, 0n, cr3, cr4, EFER].map(be64),
      ),
    ),
    u8(0, 6),
    be32(description.length),
    description,
  ]);
}

/** The same behind the header of libvirt. */
export function libvirtSave(stream: Uint8Array, compression = 0): Buffer {
  const xml = Buffer.from('<domain type="qemu"><name>a domain</name></domain>\0\0\0\0');
  const fields = [2, xml.length, 1, compression, 0].map(u32);
  return Buffer.concat([Buffer.from('LibvirtQemudSave'), ...fields, Buffer.alloc(56), xml, stream]);
}

/** A stream of snappy in frames, of blocks that are compressed or not in turn. */
export function snappyFrames(data: Uint8Array, blockBytes = 2 ** 16): Buffer {
  const chunk = (type: number, body: Uint8Array) => Buffer.concat([u32(type | (body.length << 8)), body]);
  const chunks = [chunk(0xff, Buffer.from('sNaPpY'))];
  for (let at = 0, index = 0; at < data.length; at += blockBytes, index++) {
    const block = new Uint8Array(data.subarray(at, at + blockBytes));
    const crc = u32(maskedCrc(block));
    chunks.push(
      index % 3 === 2 ? chunk(1, Buffer.concat([crc, block])) : chunk(0, Buffer.concat([crc, compress(block)])),
    );
    if (index === 0 && at + blockBytes < data.length) chunks.push(chunk(0xfe, Buffer.alloc(10)));
  }
  return Buffer.concat(chunks);
}

/** AVML with `--compress`. */
export function avmlDump(frames: Frames, blockBytes?: number): Buffer {
  const range = ({ pa, bytes }: { readonly pa: number; readonly bytes: Buffer }) => {
    const stream = snappyFrames(bytes, blockBytes);
    return [Buffer.from('AVML'), u32(2), u64(pa), u64(pa + bytes.length - 1), u64(0), stream, u64(stream.length)];
  };
  return Buffer.concat(runsOf(frames).flatMap(range));
}

export interface CheckpointOptions {
  readonly cpus?: readonly Cpu[];
  readonly magic?: number;
  /** Whether memory is in it; beside it otherwise. */
  readonly inside?: boolean;
  readonly compressed?: boolean;
}

/** A .vmss of VMware, and the .vmem beside it. */
export function vmwareCheckpoint(
  frames: Frames,
  options: CheckpointOptions = {},
): { readonly vmss: Buffer; readonly vmem: Buffer } {
  const { cpus = [CPU], magic = 0xbed2bed2, inside = false, compressed = false } = options;
  const runs = runsOf(frames);
  const memory = Buffer.concat(runs.map(({ bytes }) => bytes));
  const tag = (name: string, indices: readonly number[], value: Uint8Array) =>
    Buffer.concat([u8((indices.length << 6) | value.length), text(name), ...indices.map(u32), value]);
  const block = (name: string, indices: readonly number[], value: Uint8Array) =>
    Buffer.concat([
      u8((indices.length << 6) | (compressed ? 62 : 63)),
      text(name),
      ...indices.map(u32),
      u64(value.length),
      u64(value.length),
      u8(5, 0, 1, 2, 3, 4, 5),
      value,
    ]);
  let position = 0;
  const regionTags = runs.flatMap(({ pa, bytes }, index) => {
    const tags = [
      tag('regionPageNum', [index], u32(position / PAGE)),
      tag('regionPPN', [index], u32(pa / PAGE)),
      tag('regionSize', [index], u32(bytes.length / PAGE)),
    ];
    position += bytes.length;
    return tags;
  });
  const END = u8(0, 0);
  const groups: readonly (readonly [name: string, tags: Buffer])[] = [
    ['Snapshot', Buffer.concat([tag('cookie', [], u32(7)), END])],
    [
      'cpu',
      Buffer.concat([
        ...cpus.flatMap(({ cr0, cr3, cr4 }, index) => [
          index % 2 === 0
            ? tag('CR64', [index, 0], u64(cr0))
            : Buffer.concat([
                u8((1 << 6) | 63),
                text('CR64'),
                u32(index),
                u64(40),
                u64(40),
                u8(0, 0),
                ...[cr0, 0n, 0n, cr3, cr4].map(u64),
              ]),
          ...(index % 2 === 0 ? [tag('CR64', [index, 3], u64(cr3)), tag('CR64', [index, 4], u64(cr4))] : []),
          tag('rip', [index], u64(0xffff_ffff_8100_0000n)),
        ]),
        END,
      ]),
    ],
    [
      'memory',
      Buffer.concat([
        tag('regionsCount', [], u32(runs.length)),
        ...regionTags,
        ...(inside ? [block('Memory', [0, 0], memory)] : []),
        END,
      ]),
    ],
  ];
  let at = 12 + groups.length * 80;
  const headers = groups.map(([name, tags]) => {
    const header = Buffer.concat([Buffer.from(name.padEnd(64, '\0'), 'latin1'), u64(at), u64(tags.length)]);
    at += tags.length;
    return header;
  });
  const vmss = Buffer.concat([u32(magic), u32(8), u32(groups.length), ...headers, ...groups.map(([, tags]) => tags)]);
  return { vmss, vmem: memory };
}

function note(owner: string, type: number, rest: Uint8Array): Buffer {
  const padded = (bytes: Uint8Array) => Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
  const name = Buffer.from(`${owner}\0`);
  return Buffer.concat([u32(name.length), u32(rest.length), u32(type), padded(name), padded(rest)]);
}

/** A core of VirtualBox. */
export function virtualBoxCore(frames: Frames, cpus: readonly Cpu[] = [CPU]): Buffer {
  const descriptor = Buffer.concat([u32(0xc01ac0de), u32(0x10006), u32(24), u32(0x70000), u32(1), u32(cpus.length)]);
  const states = cpus.map(({ cr0, cr3, cr4 }) => {
    const state = Buffer.alloc(600);
    for (const [index, value] of [cr0, 0n, cr3, cr4].entries()) state.writeBigUInt64LE(value, 288 + index * 8);
    state.writeBigUInt64LE(EFER, 488);
    return note('VBCPU', 0xb01, state);
  });
  return elfDump(frames, { notes: Buffer.concat([note('VBCORE', 0xb00, descriptor), ...states]) });
}

/** A core of Xen: HVM names its frames, PV pairs of frames. */
export function xenCore(frames: Frames, kind: 'hvm' | 'pv', cpus: readonly Cpu[] = [CPU]): Buffer {
  const gfns = [...frames.keys()];
  const entries = gfns.map((gfn) => (kind === 'hvm' ? u64(gfn) : Buffer.concat([u64(gfn + 0x5000), u64(gfn)])));
  const contexts = cpus.map(({ cr0, cr3, cr4 }) => {
    const context = Buffer.alloc(5168);
    context.writeBigUInt64LE(0xffff_ffff_8100_0000n, 648);
    for (const [register, value] of [cr0, 0n, 0n, cr3, cr4].entries())
      context.writeBigUInt64LE(value, 4984 + register * 8);
    return context;
  });
  const parts: readonly (readonly [name: string, bytes: Buffer])[] = [
    ['', Buffer.alloc(0)],
    ['.shstrtab', Buffer.alloc(0)],
    [
      '.note.Xen',
      note('Xen', 0x2000001, Buffer.concat([u64(0xf00febedn), u64(cpus.length), u64(gfns.length), u64(PAGE)])),
    ],
    ['.xen_prstatus', Buffer.concat(contexts)],
    [kind === 'hvm' ? '.xen_pfn' : '.xen_p2m', Buffer.concat([...entries, ...(kind === 'hvm' ? [u64(-1n)] : [])])],
    ['.xen_pages', Buffer.concat([...frames.values(), ...(kind === 'hvm' ? [Buffer.alloc(PAGE, 0xee)] : [])])],
  ];
  const names = Buffer.from(parts.map(([name]) => `${name}\0`).join(''), 'latin1');
  const header = Buffer.alloc(64);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  header.writeUInt16LE(4, 16);
  header.writeUInt16LE(62, 18);
  header.writeBigUInt64LE(64n, 40);
  header.writeUInt16LE(64, 58);
  header.writeUInt16LE(parts.length, 60);
  header.writeUInt16LE(1, 62);
  let at = 64 + parts.length * 64;
  let nameAt = 0;
  const bodies = parts.map(([name, bytes]) => (name === '.shstrtab' ? names : bytes));
  const headers = parts.map(([name], index) => {
    const section = Buffer.alloc(64);
    section.writeUInt32LE(nameAt, 0);
    section.writeBigUInt64LE(BigInt(at), 24);
    section.writeBigUInt64LE(BigInt(bodies[index]!.length), 32);
    nameAt += name.length + 1;
    at += bodies[index]!.length;
    return section;
  });
  return Buffer.concat([header, ...headers, ...bodies]);
}

export interface WindowsOptions {
  readonly is64?: boolean;
  readonly type?: number;
  readonly root?: bigint;
  readonly pae?: boolean;
}

/** A crash dump of Windows. */
export function windowsDump(frames: Frames, options: WindowsOptions = {}): Buffer {
  const { is64 = true, type = 1, root = 0x5000n, pae = true } = options;
  const runs = runsOf(frames);
  const header = Buffer.alloc(is64 ? 0x2000 : 0x1000, 'PAGE');
  header.write(is64 ? 'DU64' : 'DUMP', 4, 'latin1');
  if (is64) header.writeBigUInt64LE(root, 0x10);
  else header.writeUInt32LE(Number(root), 0x10);
  header.writeUInt32LE(is64 ? 0x8664 : 0x14c, is64 ? 0x30 : 0x20);
  if (!is64) header[0x5c] = pae ? 1 : 0;
  header.writeUInt32LE(type, is64 ? 0xf98 : 0xf88);
  header.writeUInt32LE(runs.length, is64 ? 0x88 : 0x64);
  for (const [index, { pa, bytes }] of runs.entries()) {
    const values = [pa / PAGE, bytes.length / PAGE];
    for (const [field, value] of values.entries()) {
      if (is64) header.writeBigUInt64LE(BigInt(value), 0x98 + index * 16 + field * 8);
      else header.writeUInt32LE(value, 0x6c + index * 8 + field * 4);
    }
  }
  const pages = Buffer.concat(runs.map(({ bytes }) => bytes));
  if (type === 1) return Buffer.concat([header, pages]);
  const bits = Math.max(...frames.keys()) + 1;
  const bitmap = Buffer.alloc(Math.ceil(bits / 8));
  for (const gfn of frames.keys()) bitmap[gfn >>> 3]! |= 1 << (gfn & 7);
  const first = Math.ceil((header.length + 0x38 + bitmap.length) / PAGE) * PAGE;
  const summary = Buffer.alloc(first - header.length);
  summary.write(type === 5 ? 'FDMPDUMP' : 'SDMPDUMP', 'latin1');
  summary.writeBigUInt64LE(BigInt(first), 0x20);
  summary.writeBigUInt64LE(BigInt(frames.size), 0x28);
  summary.writeBigUInt64LE(BigInt(bits), 0x30);
  summary.set(bitmap, 0x38);
  return Buffer.concat([header, summary, pages]);
}
