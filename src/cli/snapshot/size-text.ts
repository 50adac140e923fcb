/** Sizes for people. */

const UNITS = ['B', 'K', 'M', 'G', 'T', 'P', 'E'];

/** `4K`, `1.5G`: in the largest unit of which there is one, to a tenth. */
export function bytesInWords(byteLength: number): string {
  const power = Math.min(UNITS.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(byteLength, 1)) / 10)));
  const value = byteLength / 1024 ** power;
  return `${Number.isInteger(value) || value >= 1000 ? Math.round(value) : value.toFixed(1)}${UNITS[power]}`;
}
