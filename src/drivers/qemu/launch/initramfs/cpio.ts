/**
 * Archives that the Linux kernel unpacks as its first root file system: cpio, format "newc".
 * Documentation/driver-api/early-userspace/buffer-format.rst of the kernel.
 */
import { PtmonError } from '../../../../core/error.ts';

/** One file of an archive. Paths have no leading slash; a folder comes before what is in it. */
export type CpioEntry =
  | { readonly kind: 'file'; readonly path: string; readonly mode: number; readonly content: Uint8Array }
  | { readonly kind: 'folder'; readonly path: string; readonly mode: number }
  | { readonly kind: 'link'; readonly path: string; readonly target: string }
  | {
      readonly kind: 'character-device';
      readonly path: string;
      readonly mode: number;
      readonly major: number;
      readonly minor: number;
    };

/** `st_mode`'s type bits (stat(2), inode(7)). */
const TYPE = { file: 0o100000, folder: 0o040000, link: 0o120000, 'character-device': 0o020000 } as const;

const HEADER_BYTE_LENGTH = 110;
const TRAILER = 'TRAILER!!!';

const text = new TextEncoder();
const NOTHING = new Uint8Array(0);

/** The next multiple of 4: where the content begins, and where the next header does. */
function aligned(offset: number): number {
  return (offset + 3) & ~3;
}

/** Magic and 13 numbers of eight hexadecimal digits each. */
function header(fields: readonly number[]): Uint8Array {
  return text.encode(`070701${fields.map((field) => field.toString(16).toUpperCase().padStart(8, '0')).join('')}`);
}

function contentOf(entry: CpioEntry): Uint8Array {
  if (entry.kind === 'file') return entry.content;
  return entry.kind === 'link' ? text.encode(entry.target) : NOTHING;
}

function requireGoodPath(path: string): void {
  const good = path !== '' && path !== TRAILER && !path.split('/').some((part) => part === '' || part === '..');
  if (!good) throw new PtmonError('bad-argument', `not a path for an initramfs: ${JSON.stringify(path)}`);
}

interface Member {
  readonly inode: number;
  readonly mode: number;
  readonly path: string;
  readonly content: Uint8Array;
  /** Major and minor number. */
  readonly device: readonly number[];
}

/** The bytes of one header, name and content, each padded to a multiple of four. */
function member({ inode, mode, path, content, device }: Member): Uint8Array {
  const name = text.encode(`${path}\0`);
  // inode, mode, uid, gid, links, mtime, size, device (2), device that it is (2), name's length, checksum
  const head = header([inode, mode, 0, 0, 1, 0, content.byteLength, 0, 0, ...device, name.byteLength, 0]);
  const contentAt = aligned(HEADER_BYTE_LENGTH + name.byteLength);
  const bytes = new Uint8Array(aligned(contentAt + content.byteLength));
  bytes.set(head);
  bytes.set(name, HEADER_BYTE_LENGTH);
  bytes.set(content, contentAt);
  return bytes;
}

/**
 * An archive of these files, all of them owned by root and dated 1970, so that the same files are the same bytes.
 *
 * @throws PtmonError `bad-argument` for a path that is empty, absolute, or leads out of the root
 */
export function cpioArchive(entries: readonly CpioEntry[]): Uint8Array {
  const members = entries.map((entry, index) => {
    requireGoodPath(entry.path);
    const mode = TYPE[entry.kind] | (entry.kind === 'link' ? 0o777 : entry.mode);
    const device = entry.kind === 'character-device' ? [entry.major, entry.minor] : [0, 0];
    return member({ inode: index + 1, mode, path: entry.path, content: contentOf(entry), device });
  });
  members.push(member({ inode: 0, mode: 0, path: TRAILER, content: NOTHING, device: [0, 0] }));

  const archive = new Uint8Array(members.reduce((sum, bytes) => sum + bytes.byteLength, 0));
  let offset = 0;
  for (const bytes of members) {
    archive.set(bytes, offset);
    offset += bytes.byteLength;
  }
  return archive;
}
