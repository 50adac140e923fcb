/** The orders of `ptmon top`: what `--sort` takes, and the key of each. Without imports, since the help lists them. */
export const SORTS = ['resident', 'in', 'out', 'copies', 'large', 'swap', 'pid', 'name'] as const;
export type Sort = (typeof SORTS)[number];

export const SORT_KEYS: Readonly<Record<string, Sort>> = {
  r: 'resident',
  i: 'in',
  o: 'out',
  c: 'copies',
  l: 'large',
  s: 'swap',
  p: 'pid',
  n: 'name',
};
