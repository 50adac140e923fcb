/**
 * The header that `virsh save` and `managedsave` put in front of QEMU's migration stream (libvirt, src/qemu/qemu_saveimage.h), in the
 * order of bytes of the host:
 *
 *    0  "LibvirtQemudSave", or "LibvirtQemudPart" until it is complete
 *   16  version, length of what follows the header, was running, compression, place of the cookie; 32 bits each
 *   92  the domain's XML, padded; then the stream
 */
const MAGIC = 'LibvirtQemudSave';
const PARTIAL_MAGIC = 'LibvirtQemudPart';
const HEADER_BYTES = 92;

/** How the stream is compressed, and by what it is unpacked. */
const COMPRESSIONS = ['', 'gzip -d', 'bzip2 -d', 'xz -d', 'lzop -d', 'zstd -d'];

export interface LibvirtHeader {
  readonly streamAt: number;
  /** Why the stream cannot be read, and what to do. */
  readonly why?: string;
}

/** Undefined for what has no such header. @param head the first 92 bytes */
export function libvirtHeaderOf(head: Buffer): LibvirtHeader | undefined {
  const magic = head.toString('latin1', 0, MAGIC.length);
  if ((magic !== MAGIC && magic !== PARTIAL_MAGIC) || head.length < HEADER_BYTES) return undefined;
  const [dataBytes, compression] = [head.readUInt32LE(20), head.readUInt32LE(28)];
  const streamAt = HEADER_BYTES + dataBytes;
  if (compression === 0) return { streamAt };
  const unpack = COMPRESSIONS[compression];
  const why =
    unpack === undefined
      ? `the stream of virsh save is in format ${compression}, which ptmon does not read: save it with save_image_format = "raw"`
      : `the stream of virsh save is compressed: unpack it with tail -c +${streamAt + 1} FILE | ${unpack} >STREAM`;
  return { streamAt, why };
}
