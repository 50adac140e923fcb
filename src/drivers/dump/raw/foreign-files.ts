/**
 * Files that are no memory, or not as it lies in RAM, by their magic numbers: what a person may hand to a tool for memory. Each is named,
 * with the way to what can be read.
 */
import type { DumpBytes } from '../dump-bytes.ts';

export interface ForeignFile {
  readonly what: string;
  /** How to get a dump of it, as a sentence without its end. */
  readonly advice: string;
}

interface Kind extends ForeignFile {
  /** Where its magic is, and the bytes as Latin-1. */
  readonly magics: readonly (readonly [at: number, bytes: string])[];
}

const UNPACK = 'unpack it first';
const IMAGE = 'it holds a disk; dump the running machine, as with dump-guest-memory of QEMU';
const HIBERNATION =
  'its pages are compressed and not in the order of RAM: resume the system in a virtual machine and dump that';
const EVIDENCE = 'mount or export it as raw memory first, as with xmount, ewfmount or affuse';
const NO_MEMORY = 'it holds no memory';

/** A kind of one magic number at the beginning. */
const kind = (what: string, advice: string, ...starts: readonly string[]): Kind => ({
  what,
  advice,
  magics: starts.map((bytes) => [0, bytes] as const),
});
/** The same elsewhere. */
const kindAt = (at: number, bytes: string | readonly string[], what: string, advice: string): Kind => ({
  what,
  advice,
  magics: [bytes].flat().map((each) => [at, each] as const),
});

const COMPRESSED: readonly Kind[] = [
  ...Object.entries({
    gzip: ['\x1f\x8b', '\x1f\x9d'],
    xz: ['\xfd7zXZ\0'],
    zstd: ['\x28\xb5\x2f\xfd', '\x50\x2a\x4d\x18'],
    bzip2: ['BZh'],
    lz4: ['\x04\x22\x4d\x18', '\x02\x21\x4c\x18'],
    lzop: ['\x89LZO\0\r\n\x1a\n'],
    lzip: ['LZIP'],
    lrzip: ['LRZI'],
  }).map(([name, starts]) => kind(`compressed by ${name}`, `${UNPACK}: ${name} -d`, ...starts)),
  kind('compressed by lzma', `${UNPACK}: xz --format=lzma -d`, '\x5d\0\0'),
  kind('compressed by snappy in frames', `${UNPACK}: snzip -d`, '\xff\x06\0\0sNaPpY'),
  kind('a zpaq archive', `${UNPACK}: zpaq extract`, '7kSt', 'zPQ\x01', 'zPQ\x02'),
  kind('a 7z archive', `${UNPACK}: 7z x`, '7z\xbc\xaf\x27\x1c'),
  kind('a zip archive, as AFF4 of WinPmem is', `${UNPACK}: unzip`, 'PK\x03\x04', 'PK\x05\x06'),
  kind('a rar archive', `${UNPACK}: unrar x`, 'Rar!\x1a\x07'),
  kind('a cab archive', `${UNPACK}: cabextract`, 'MSCF\0\0\0\0'),
  kind('a cpio archive', `${UNPACK}: cpio -i`, '070701', '070702', '070707', '\xc7\x71'),
  kindAt(257, 'ustar', 'a tar archive, as an OVA is', `${UNPACK}: tar -x`),
];

const STATES: readonly Kind[] = [
  kind(
    'a saved state of VirtualBox',
    'resume the machine and take VBoxManage debugvm NAME dumpvmcore',
    '\x7fVirtualBox SavedState',
  ),
  kind(
    'a saved domain of Xen',
    'restore the domain and take xl dump-core',
    'Xen saved domain',
    'LinuxGuestRecord',
    'libvirt-xml\n',
    '\xff\xff\xff\xff\xff\xff\xff\xffXENF',
    '\xff\xff\xff\xff\xff\xff\xff\xffFNEX',
  ),
  kind('a saved state of Hyper-V (VMRS)', 'convert it to a crash dump with vm2dmp or MemProcFS', '\x14\x20\x28\x01'),
  kind('an image of CRIU', 'it holds processes, not the memory of a machine', '\x19\x43\x56\x54'),
  kind('a hibernation file of Windows', HIBERNATION, 'hibr', 'HIBR', 'wake', 'WAKE', 'RSTR', 'rstr'),
  kindAt(4086, ['S1SUSPEND', 'ULSUSPEND', 'LINHIB0001'], 'a hibernation image of Linux', HIBERNATION),
  kindAt(
    4086,
    ['SWAPSPACE2', 'SWAP-SPACE'],
    'a swap area of Linux',
    'it holds pages without their addresses: dump the running machine',
  ),
];

const DUMPS: readonly Kind[] = [
  kind(
    'a dump of diskdump, which came before kdump',
    'make an ELF core of it with crash or makedumpfile -E',
    'DISKDUMP',
  ),
  kind('a dump of LKCD', 'make an ELF core of it with lcrash or kdumpid', '\xed\x23\x8f\x61\x73\x01\x19\xa8'),
  kind('a dump of sadump', 'make a kdump of it: makedumpfile -c', 'sadump\0\0', 'sadu'),
  kind('a minidump of FreeBSD', 'take a full dump (sysctl debug.minidump=0), which is an ELF core', 'minidump FreeBSD'),
  kind('a crash dump of Solaris', 'only mdb reads it', '\xed\xc8\xfe\xde'),
  kind('a minidump of a Windows process', 'it holds one process: take a complete memory dump', 'MDMP'),
  kind('a dump of HBGary FDPro', 'export the raw memory of it with FDPro -extract', 'HPAK'),
  kind('an image of EnCase (EWF)', EVIDENCE, 'EVF\x09\r\n\xff\0', 'EVF2\r\n\x81\0', 'LVF\x09\r\n\xff\0'),
  kind('an image of AFF', EVIDENCE, 'AFF10\r\n', 'AFF\0'),
  kind('a core of macOS (Mach-O)', 'only lldb reads it', '\xce\xfa\xed\xfe', '\xcf\xfa\xed\xfe', '\xca\xfe\xba\xbe'),
];

const DISKS: readonly Kind[] = [
  kind('a disk image of QEMU (qed)', IMAGE, 'QED\0'),
  kind('a disk image of VMware (vmdk)', IMAGE, 'KDMV', 'COWD', '# Disk DescriptorFile'),
  kind('a disk image of VirtualBox (vdi)', IMAGE, '<<< Oracle VM VirtualBox', '<<< Sun VirtualBox', '<<< innotek'),
  kindAt(0x40, '\x7f\x10\xda\xbe', 'a disk image of VirtualBox (vdi)', IMAGE),
  kind('a disk image of Hyper-V (vhdx, vhd)', IMAGE, 'vhdxfile', 'conectix', 'cxsparse'),
  kind('a backup of Proxmox (vma)', IMAGE, 'VMA\0'),
  kind('a disk image of Bochs or Parallels', IMAGE, 'Bochs Virtual HD Image', 'WithoutFreeSpace', 'WithouFreSpacExt'),
  kind('an encrypted disk (LUKS)', IMAGE, 'LUKS\xba\xbe', 'SKUL\xba\xbe'),
  kind('a file system (squashfs, xfs)', IMAGE, 'hsqs', 'sqsh', 'XFSB'),
  kindAt(3, ['NTFS    ', 'ReFS\0\0\0\0'], 'a file system (NTFS, ReFS)', IMAGE),
  kindAt(32, 'NXSB', 'a file system (APFS)', IMAGE),
  kindAt(1024, ['H+\0\x04', 'HX\0\x05'], 'a file system (HFS+)', IMAGE),
  kindAt(4096, '\xfc\x4e\x2b\xa9', 'a part of a Linux RAID', IMAGE),
  kindAt(0x1_0040, '_BHRfS_M', 'a file system (btrfs)', IMAGE),
  kindAt(0x8001, ['CD001', 'BEA01'], 'an ISO 9660 or UDF image', IMAGE),
  kindAt(512, 'EFI PART', 'a disk with a GPT', IMAGE),
  kindAt(512, 'LABELONE', 'a volume of LVM', IMAGE),
  kindAt(1024, ['\x10\x20\xf5\xf2', '\xe2\xe1\xf5\xe0'], 'a file system (f2fs, erofs)', IMAGE),
  kind('an image of Windows or Android', IMAGE, 'MSWIM\0\0\0', 'ANDROID!', '\x3a\xff\x26\xed'),
];

const OTHERS: readonly Kind[] = [
  kind('a trace of perf', NO_MEMORY, 'PERFILE2'),
  kind('a trace of trace-cmd', NO_MEMORY, '\x17\x08\x44tracing'),
  kind(
    'a capture of a network',
    NO_MEMORY,
    '\xd4\xc3\xb2\xa1',
    '\xa1\xb2\xc3\xd4',
    '\x4d\x3c\xb2\xa1',
    '\x0a\x0d\x0d\x0a',
  ),
  kind('a program or driver of Windows, or a Linux kernel', NO_MEMORY, 'MZ'),
  kind('a heap dump of Java', 'it holds one process', 'JAVA PROFILE'),
  kind('an SQLite database, or a Parquet file', NO_MEMORY, 'SQLite format 3\0', 'PAR1'),
  kind('encrypted (age, openssl)', 'decrypt it first', 'age-encryption.org/', 'Salted__'),
  kind(
    'a document, an image or a package',
    NO_MEMORY,
    '%PDF-',
    '!<arch>\n',
    '\xed\xab\xee\xdb',
    '\x89PNG\r\n\x1a\n',
    '\xff\xd8\xff',
    'GIF8',
  ),
];

const KINDS = [...COMPRESSED, ...STATES, ...DUMPS, ...DISKS, ...OTHERS];

/** The signature of a boot sector, and before it a table of partitions, or at its beginning the jump of a FAT. */
function isBootSector(head: Buffer): boolean {
  if (!has(head, 510, '\x55\xaa')) return false;
  const entries = [446, 462, 478, 494].map((at) => ({ status: head[at]!, type: head[at + 4]! }));
  const isTable =
    entries.every(({ status }) => status === 0 || status === 0x80) && entries.some(({ type }) => type > 0);
  return isTable || (head[0] === 0xeb && head[2] === 0x90) || head[0] === 0xe9;
}

/** ext2 to ext4: the magic number, and behind the state what to do on errors. */
function isExt(head: Buffer): boolean {
  return has(head, 0x438, '\x53\xef') && [1, 2, 3].includes(head[0x43c]!) && head[0x43d] === 0;
}

/** All magic numbers but those of the last sector. */
const HEAD_BYTES = 0x1_1000;

/** What the file is; undefined where no magic number says so. */
export function foreignFile(bytes: DumpBytes): ForeignFile | undefined {
  const head = part(bytes, 0, HEAD_BYTES);
  const found = KINDS.find(({ magics }) => magics.some(([at, magic]) => has(head, at, magic)));
  if (found !== undefined) return found;
  if (isBootSector(head)) return { what: 'a disk with a boot sector (MBR, FAT)', advice: IMAGE };
  if (isExt(head)) return { what: 'a file system (ext2, ext3, ext4)', advice: IMAGE };
  const tail = part(bytes, Math.max(0, bytes.byteLength - 512), 512);
  if (has(tail, 0, 'conectix')) return { what: 'a disk image of Hyper-V (vhd)', advice: IMAGE };
  if (has(tail, 0, 'koly')) return { what: 'a disk image of macOS (dmg)', advice: IMAGE };
  return undefined;
}

/** Bytes of the file, as far as there are any. */
function part(bytes: DumpBytes, position: number, byteLength: number): Buffer {
  const found = Buffer.alloc(Math.min(byteLength, bytes.byteLength - position));
  bytes.read(found, position);
  return found;
}

function has(bytes: Buffer, at: number, magic: string): boolean {
  return bytes.toString('latin1', at, at + magic.length) === magic;
}
