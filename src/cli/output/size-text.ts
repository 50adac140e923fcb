/** Sizes as text. */

const UNITS = ['B', 'K', 'M', 'G', 'T', 'P', 'E'];

/** `4K`, `1.5G`: in the largest unit that gives at least 1, with one decimal. */
export function sizeText(byteLength: number): string {
  const power = Math.min(UNITS.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(byteLength, 1)) / 10)));
  const value = byteLength / 1024 ** power;
  return `${Number.isInteger(value) || value >= 1000 ? Math.round(value) : value.toFixed(1)}${UNITS[power]}`;
}

/** Of what most have nothing: a dash is easier to look past than `0B`. */
export function amountText(byteLength: number): string {
  return byteLength === 0 ? '-' : sizeText(byteLength);
}
