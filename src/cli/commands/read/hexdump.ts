/** Bytes as hexdump(1) -C shows them: sixteen a line, with their virtual address. */

const ROW_BYTES = 16;

/** Lines with their ends. The first row begins at a multiple of 16, with blanks before the first byte. */
export function* hexdump(va: bigint, bytes: Uint8Array): Generator<string> {
  const before = Number(va % BigInt(ROW_BYTES));
  for (let at = -before; at < bytes.length; at += ROW_BYTES) {
    const cells = Array.from({ length: ROW_BYTES }, (_, index) => bytes[at + index]);
    const digits = cells.map((byte) => (byte === undefined ? '  ' : byte.toString(16).padStart(2, '0')));
    const text = cells.map((byte) =>
      byte === undefined ? ' ' : byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.',
    );
    const address = (va + BigInt(at)).toString(16).padStart(16, '0');
    yield `${address}  ${digits.slice(0, 8).join(' ')}  ${digits.slice(8).join(' ')}  |${text.join('').trimEnd()}|\n`;
  }
}
