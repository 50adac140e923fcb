/** Files that are no memory: whatever a person may hand over is named, never read as if it lay in RAM. */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openDump } from '../../../src/drivers/dump/index.ts';
import { temporaryFolder } from '../qemu/launch/temporary-folder.ts';
import { dumpFile, framesOf, PAGE } from './write-dump.ts';

const MEMORY = Buffer.concat([...framesOf([0, 1, 2, 3, 4, 5, 6, 7]).values()]);

/** A file of whole pages that begins like another kind. */
function padded(start: string, at = 0): Buffer {
  const bytes = Buffer.concat([MEMORY, Buffer.alloc(32 * PAGE, MEMORY)]);
  bytes.write(start, at, 'latin1');
  return bytes;
}

async function refusal(bytes: Uint8Array): Promise<string> {
  const path = dumpFile(bytes);
  const error: unknown = await openDump(path).then(
    async (dump) => {
      await dump.close();
      return `read as ${dump.description}`;
    },
    (reason: unknown) => reason,
  );
  expect(error, String(error)).toMatchObject({ code: 'corrupt-input', facts: { offset: 0 } });
  return (error as Error).message.replace(path, 'FILE');
}

describe('magic numbers', () => {
  // From the definitions of the formats; the number is where the bytes are.
  test.each<[start: string, what: RegExp, at?: number]>([
    ['\x7fVirtualBox SavedState V2.0\n', /a saved state of VirtualBox.*dumpvmcore/],
    ['Xen saved domain, xl format\n', /a saved domain of Xen.*xl dump-core/],
    ['LinuxGuestRecord', /a saved domain of Xen/],
    ['hibr', /a hibernation file of Windows/],
    ['HIBR', /a hibernation file of Windows/],
    ['wake', /a hibernation file of Windows/],
    ['RSTR', /a hibernation file of Windows/],
    ['S1SUSPEND', /a hibernation image of Linux/, 4086],
    ['SWAPSPACE2', /a swap area of Linux/, 4086],
    ['DISKDUMP', /a dump of diskdump/],
    ['\xed\x23\x8f\x61\x73\x01\x19\xa8', /a dump of LKCD/],
    ['sadump\0\0', /a dump of sadump.*makedumpfile/],
    ['minidump FreeBSD/amd64', /a minidump of FreeBSD/],
    ['MDMP', /a minidump of a Windows process/],
    ['HPAK', /FDPro/],
    ['EVF\x09\x0d\x0a\xff\x00', /an image of EnCase/],
    ['AFF10\r\n', /an image of AFF/],
    ['PK\x03\x04', /a zip archive, as AFF4/],
    ['\xcf\xfa\xed\xfe', /a core of macOS/],
    ['KDMV', /a disk image of VMware/],
    ['# Disk DescriptorFile\n', /a disk image of VMware/],
    ['<<< Oracle VM VirtualBox Disk Image >>>\n', /a disk image of VirtualBox/],
    ['\x7f\x10\xda\xbe', /a disk image of VirtualBox/, 0x40],
    ['vhdxfile', /a disk image of Hyper-V/],
    ['conectix', /a disk image of Hyper-V/],
    ['conectix', /a disk image of Hyper-V \(vhd\)/, 40 * PAGE - 512],
    ['LUKS\xba\xbe', /an encrypted disk/],
    ['VMA\0\0\0\0\x01', /a backup of Proxmox/],
    ['Bochs Virtual HD Image\0', /a disk image of Bochs/],
    ['EFI PART', /a disk with a GPT/, 512],
    ['\x80\x20\x21\0\x83'.padEnd(64, '\0') + '\x55\xaa', /a disk with a boot sector/, 446],
    ['\xeb\x3c\x90MSDOS5.0'.padEnd(510, 'x') + '\x55\xaa', /a disk with a boot sector/],
    ['\x53\xef\x01\0\x01\0', /a file system \(ext2, ext3, ext4\)/, 0x438],
    ['\x50\x2a\x4d\x18\x04\0\0\0', /compressed by zstd/],
    ['age-encryption.org/v1\n', /encrypted \(age, openssl\)/],
    ['Salted__', /encrypted \(age, openssl\)/],
    ['CD001', /an ISO 9660 or UDF image/, 0x8001],
    ['BEA01', /an ISO 9660 or UDF image/, 0x8001],
    ['\x5d\0\0\x04\0', /compressed by lzma/],
    ['\xc7\x71\x02\xfe', /a cpio archive/],
    ['7kSt\xa0\x31', /a zpaq archive/],
    ['ReFS\0\0\0\0', /a file system \(NTFS, ReFS\)/, 3],
    ['NXSB', /a file system \(APFS\)/, 32],
    ['H+\0\x04', /a file system \(HFS\+\)/, 1024],
    ['\xe2\xe1\xf5\xe0', /a file system \(f2fs, erofs\)/, 1024],
    ['\xfc\x4e\x2b\xa9', /a part of a Linux RAID/, 4096],
    ['PAR1', /a Parquet file/],
    ['\x1f\x8b\x08', /compressed by gzip.*gzip -d/],
    ['\xfd7zXZ\0', /compressed by xz/],
    ['\x28\xb5\x2f\xfd', /compressed by zstd/],
    ['BZh9', /compressed by bzip2/],
    ['\x04\x22\x4d\x18', /compressed by lz4/],
    ['\x89LZO\0\r\n\x1a\n', /compressed by lzop/],
    ['7z\xbc\xaf\x27\x1c', /a 7z archive/],
    ['ustar', /a tar archive/, 257],
    ['070701', /a cpio archive/],
    ['MZ', /a program or driver of Windows/],
    ['SQLite format 3\0', /an SQLite database/],
    ['LABELONE', /a volume of LVM/, 512],
    ['\x10\x20\xf5\xf2', /f2fs/, 1024],
    ['MSWIM\0\0\0', /an image of Windows or Android/],
    ['ANDROID!', /an image of Windows or Android/],
    ['\xed\xab\xee\xdb', /a package/],
    ['JAVA PROFILE 1.0.2\0', /a heap dump of Java/],
    ['PERFILE2', /a trace of perf/],
  ])('%j: %s', async (start, what, at) => {
    const message = await refusal(padded(start, at));
    expect(message).toMatch(/^FILE is .*: ptmon does not read that; ./);
    expect(message).toMatch(what);
    expect(message).toContain('--ram-map 0x0+160K@0');
  });

  test('do not keep memory from being read that a map names', async () => {
    const dump = await openDump(dumpFile(padded('BZh9')), { ramMap: '0x0+160K@0' });
    onTestFinished(() => dump.close());
    expect(dump.format).toBe('raw');
  });
});

describe('files of real programs', () => {
  const PROGRAMS: readonly [program: string, args: readonly string[], what: RegExp][] = [
    ['xz', ['-kc'], /compressed by xz/],
    ['xz', ['-kc0', '--format=lzma'], /compressed by lzma/],
    ['zstd', ['-kqc'], /compressed by zstd/],
    ['bzip2', ['-kc'], /compressed by bzip2/],
    ['lz4', ['-kqc'], /compressed by lz4/],
    ['lzop', ['-kc'], /compressed by lzop/],
    ['tar', ['-cf', '-'], /a tar archive/],
  ];

  test.for(PROGRAMS)('%s', async ([program, args, what], { skip }) => {
    const folder = temporaryFolder({ memory: MEMORY.toString('latin1') });
    const made = spawnSync(program, [...args, 'memory'], { cwd: folder, maxBuffer: 2 ** 24 });
    skip(made.error !== undefined, `${program} is not installed`);
    expect(await refusal(made.stdout)).toMatch(what);
  });

  test('gzip, of whole pages by chance', async () => {
    const bytes = gzipSync(randomBytes(10 * PAGE));
    expect(await refusal(Buffer.concat([bytes, Buffer.alloc(PAGE - (bytes.length % PAGE))]))).toMatch(/by gzip/);
  });

  test('the source of this test, and this program itself', async () => {
    const source = readFileSync(import.meta.filename);
    expect(await refusal(Buffer.concat(Array.from({ length: 4 }, () => source)))).toMatch(/it is text, page by page/);
    const program = dumpFile(readFileSync(process.execPath).subarray(0, 2 ** 22));
    await expect(openDump(program)).rejects.toThrow(/not a core file: a program or a kernel/);
  });
});

describe('what is raw memory', () => {
  async function opened(bytes: Uint8Array) {
    const dump = await openDump(dumpFile(bytes));
    onTestFinished(() => dump.close());
    expect(dump.format).toBe('raw');
    return dump;
  }

  test('is not what is compressed or encrypted', async () => {
    expect(await refusal(randomBytes(64 * PAGE))).toMatch(/looks compressed or encrypted: of 64 of its pages/);
    expect(await refusal(Buffer.alloc(0))).toMatch(/its 0 bytes are less than a page/);
    expect(await refusal(Buffer.alloc(PAGE - 1, 'x'))).toMatch(/its 4095 bytes are less than a page/);
  });

  test('may have pages of texts and of random bytes among others, and nothing but zeroes', async () => {
    const mixed = Buffer.concat([randomBytes(32 * PAGE), Buffer.alloc(32 * PAGE, 'a text of memory '), MEMORY]);
    expect((await opened(mixed)).warnings).toBeUndefined();
    await opened(Buffer.concat([Buffer.alloc(PAGE), Buffer.alloc(PAGE, 'text ')]));
    await opened(Buffer.alloc(64 * PAGE));
  });

  test('may end in the middle of a page, and says so', async () => {
    const dump = await opened(MEMORY.subarray(0, -100));
    expect(dump.regions).toEqual([{ pa: 0, byteLength: 7 * PAGE }]);
    expect(dump.warnings?.join()).toMatch(
      /this raw memory of 32668 bytes is not whole pages of 4096.*the last 3996 are not read/,
    );
  });
});
