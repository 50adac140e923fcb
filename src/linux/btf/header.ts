/**
 * The header of BTF, the kernel's description of its own types (kernel documentation: bpf/btf; `struct btf_header`):
 *
 *      0 magic 0xeb9f   2 version   3 flags   4 hdr_len   8 type_off   12 type_len   16 str_off   20 str_len
 *
 * The offsets count from the header's end.
 */
import { PtmonError } from '../../core/error.ts';

/** Magic and version, as the first 4 bytes read in memory; `flags` is 0 in every kernel so far. */
export const BTF_FIRST_WORD = 0x0001eb9f;
export const BTF_HEADER_BYTES = 24;
/** More than any kernel has: Debian's are 5 MB. */
const MAX_BYTES = 1 << 26;
/** The header may grow, with what it holds now at its beginning. */
const MAX_HEADER_BYTES = 4096;

export interface BtfHeader {
  /** Of the whole: header, types and texts. */
  readonly byteLength: number;
  /** From the beginning of the header. */
  readonly typesAt: number;
  readonly typesByteLength: number;
  readonly textsAt: number;
  readonly textsByteLength: number;
}

/** Reads the header at the beginning of `bytes`, little endian. @throws PtmonError `corrupt-input` saying what is wrong with it */
export function readBtfHeader(bytes: Uint8Array): BtfHeader {
  if (bytes.length < BTF_HEADER_BYTES) throw strange(`has ${bytes.length} bytes, fewer than its header`);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const first = view.getUint32(0, true);
  if (first !== BTF_FIRST_WORD) throw strange(`begins with 0x${first.toString(16)}, not with magic and version 1`);
  const [headerBytes, typesOff, types, textsOff, texts] = [4, 8, 12, 16, 20].map((at) => view.getUint32(at, true)) as [
    number,
    number,
    number,
    number,
    number,
  ];
  if (headerBytes < BTF_HEADER_BYTES || headerBytes > MAX_HEADER_BYTES || headerBytes % 4 !== 0) {
    throw strange(`has a header of ${headerBytes} bytes`);
  }
  const end = headerBytes + Math.max(typesOff + types, textsOff + texts);
  if (end > MAX_BYTES) throw strange(`claims ${end} bytes`);
  if (typesOff % 4 !== 0 || types % 4 !== 0 || types === 0) throw strange(`has ${types} bytes of types at ${typesOff}`);
  if (texts === 0 || textsOff < typesOff + types) throw strange(`has ${texts} bytes of texts at ${textsOff}`);
  return {
    byteLength: end,
    typesAt: headerBytes + typesOff,
    typesByteLength: types,
    textsAt: headerBytes + textsOff,
    textsByteLength: texts,
  };
}

export function strange(what: string): PtmonError {
  return new PtmonError('corrupt-input', `the kernel's type information (BTF) ${what}`);
}
