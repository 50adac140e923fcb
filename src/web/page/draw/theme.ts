/** Colours, in light and dark; as canvas pixels and as CSS. Kinds differ in lightness, too, for eyes that see fewer hues. */
import type { Kind } from '../../picture/look.ts';

/** A pixel as a canvas stores it on a little-endian machine: 0xAABBGGRR. */
export type Pixel = number;

export interface Theme {
  readonly kinds: Readonly<Record<Kind, string>>;
  readonly flash: string;
  readonly mark: string;
  readonly background: string;
  readonly shared: string;
  readonly owners: readonly string[];
  readonly text: string;
  readonly grid: string;
  readonly lines: readonly [string, string, string];
}

const OWNERS = [
  '#4e79a7',
  '#59a14f',
  '#f28e2b',
  '#b07aa1',
  '#76b7b2',
  '#9c755f',
  '#edc948',
  '#86bcb6',
  '#d37295',
  '#8cd17d',
];

export const LIGHT: Theme = {
  kinds: {
    absent: '#e9ecf0',
    backed: '#9aa5b1',
    'read-only': '#7fb2e0',
    executable: '#ee9a3a',
    writable: '#2f9e6b',
    swapped: '#8e6ad0',
    'writable+executable': '#d1123f',
  },
  flash: '#ffd60a',
  mark: '#111418',
  background: '#ffffff',
  shared: '#111418',
  owners: OWNERS,
  text: '#3a4149',
  grid: '#d9dee4',
  lines: ['#2f9e6b', '#c2410c', '#6b7480'],
};

export const DARK: Theme = {
  kinds: {
    absent: '#252b33',
    backed: '#77828f',
    'read-only': '#4a86bd',
    executable: '#e08a2b',
    writable: '#36b37e',
    swapped: '#a384e6',
    'writable+executable': '#ff4d6d',
  },
  flash: '#fff3a0',
  mark: '#ffffff',
  background: '#14181d',
  shared: '#ffffff',
  owners: OWNERS,
  text: '#c4ccd5',
  grid: '#2f3740',
  lines: ['#36b37e', '#ff9a5c', '#98a2ae'],
};

export function pixelOf(hex: string, shade = 1): Pixel {
  const value = Number.parseInt(hex.slice(1), 16);
  const part = (shift: number) => Math.round(((value >>> shift) & 0xff) * shade);
  return ((0xff << 24) | (part(0) << 16) | (part(8) << 8) | part(16)) >>> 0;
}

/** Between two pixels; 0 gives the first. */
export function mix(a: Pixel, b: Pixel, share: number): Pixel {
  const part = (shift: number) => {
    const [from, to] = [(a >>> shift) & 0xff, (b >>> shift) & 0xff];
    return Math.round(from + (to - from) * share) << shift;
  };
  return ((0xff << 24) | part(16) | part(8) | part(0)) >>> 0;
}

const query = matchMedia('(prefers-color-scheme: dark)');

export function currentTheme(): Theme {
  return query.matches ? DARK : LIGHT;
}

export function onThemeChange(listener: () => void): () => void {
  query.addEventListener('change', listener);
  return () => query.removeEventListener('change', listener);
}
