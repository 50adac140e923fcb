/**
 * Programs that once failed, as the fuzzer shrunk them. Each is put to every proof in every run of the tests.
 */
import type { Program } from './program.ts';

export const REGRESSIONS: Readonly<Record<string, Program>> = {
  'rootGone in one view says nothing of another whose writes are in flight (E2)': {
    ...{
      mode: '4-level',
      source: 'trap',
      views: 2,
      ram: 13,
      roots: [[5, 0]],
      slots: [3, 0],
      vas: ['0x80400032fa'],
      end: 0,
    },
    frames: [509, 510, 511, 512, 513, 514, 515, 516, 517, 518, 519, 520, 521, 0x400, 0x800],
    ops: [
      { k: 'monitor', g: 1, r: 0, a: 0 },
      { k: 'map', r: 0, a: 0, lv: 1, v: [0, 7], t: [8], c: 0, w: 1 },
      { k: 'range', g: 0, r: 0, a: 0, n: 1 },
      { k: 'put', r: 0, a: 0, lv: 1, v: '0x0', c: 0, w: 1 },
      { k: 'gone', r: 0, g: 0 },
    ],
  },
  'processing a vCPU that has marked nothing tries again what could not be restored (C9)': {
    ...{
      mode: '4-level',
      source: 'trap',
      views: 1,
      ram: 10,
      roots: [[9, 0]],
      slots: [0, 1],
      vas: ['0x8040000000'],
      end: 0,
    },
    frames: [509, 510, 511, 512, 513, 514, 515, 516, 517, 518],
    ops: [
      { k: 'monitor', g: 0, r: 0, a: 0 },
      { k: 'unmonitor', g: 0, r: 0, a: 0 },
      { k: 'flip', r: 0, a: 0, lv: 1, bits: 1, c: 0, w: 1 },
    ],
  },
  'pages of one range are one run, also where another view watches some of their entries (R2)': {
    ...{ mode: '32-bit', source: 'trap', views: 2, ram: 8, roots: [[0, 0]], slots: [512], end: 0 },
    frames: [509, 510, 511, 512, 513, 514, 515, 516],
    vas: ['0x7fe016c9', '0x80201000', '0x80200000'],
    ops: [
      { k: 'map', r: 0, a: 1, lv: 2, v: [0, 135], c: 0, w: 2 },
      { k: 'range', g: 0, r: 0, a: 1, n: 1, runs: true },
      { k: 'range', g: 1, r: 0, a: 2, n: 8192, runs: true },
      { k: 'split', r: 0, a: 1, f: 4, c: 0, w: 2 },
      { k: 'map', r: 0, a: 0, lv: 1, v: [0, 7], t: [4], c: 0, w: 2 },
    ],
  },
  'a release that leaves references tries again what could not be restored (C9)': {
    ...{ mode: '5-level', source: 'trap', views: 1, ram: 13, slots: [0], vas: ['0xbfdff00000'], end: 0 },
    frames: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
    roots: [
      [12, 0],
      [10, 0],
    ],
    ops: [
      { k: 'monitor', g: 0, r: 0, a: 0 },
      { k: 'monitor', g: 0, r: 1, a: 0 },
      { k: 'monitor', g: 0, r: 0, a: 0 },
    ],
  },
  'an address that was silently led away from the entry that a vCPU has marked is spoken of when that vCPU is processed (C4)':
    {
      ...{ mode: '4-level', source: 'trap', views: 1, ram: 11, roots: [[2, 0]], slots: [510, 0, 2, 2, 2], end: 0 },
      frames: [1021, 1022, 1023, 1024, 1025, 1026, 1027, 1028, 1029, 1030, 0x800000000, 512, 1024, 2048],
      vas: ['0xffffff0080002000', '0x10000403c11'],
      ops: [
        { k: 'map', r: 0, a: 1, lv: 1, v: [1, 7], t: [5, 6], c: 0, w: 2 },
        { k: 'range', g: 0, r: 0, a: 1, n: 1 },
        { k: 'put', r: 0, a: 0, lv: 1, v: [6, 3], c: 0, w: 2 },
        { k: 'wide', f: 2, o: 16, v: [[6, 103]], skip: 4, n: 1, c: 0, w: 1 },
        { k: 'put', r: 0, a: 0, lv: 1, v: [0, 7], c: 1, w: 1 },
        { k: 'monitor', g: 0, r: 0, a: 0 },
        { k: 'put', r: 0, a: 1, lv: 1, v: [5, 263], c: 0, w: 1 },
        { k: 'commit', c: 1 },
      ],
    },
  'pages of a range that were cut apart and are held alike again are one run (R2)': {
    ...{ mode: '32-bit', source: 'trap', views: 2, ram: 6, roots: [[4, 0]], slots: [512, 1], end: 998 },
    frames: [1021, 1022, 1023, 1024, 1025, 1026, 512, 1024, 2048, 262144, 524288, 74565, 1099511627775],
    vas: ['0x80001000', '0x80201000', '0x80001e36', '0x600000'],
    ops: [
      { k: 'fill', f: 0, v: [1, 7], step: 1, c: 0, w: 2 },
      { k: 'range', g: 0, r: 0, a: 2, n: 21198 },
      { k: 'monitor', g: 0, r: 0, a: 1 },
      { k: 'monitor', g: 0, r: 0, a: 3 },
      { k: 'monitor', g: 1, r: 0, a: 0 },
      { k: 'monitor', g: 0, r: 0, a: 2 },
      { k: 'range', g: 1, r: 0, a: 1, n: 23337, runs: true },
      { k: 'monitor', g: 1, r: 0, a: 2 },
      { k: 'unrange', g: 0, r: 0, a: 2, n: 4096 },
      { k: 'range', g: 1, r: 0, a: 1, n: 49152, runs: true },
      { k: 'put', r: 0, a: 0, lv: 1, v: [0, 7], c: 0, w: 2 },
    ],
  },
  'a restoration in a view that is gone is let go before its number is used again (C9)': {
    ...{ mode: 'pae', source: 'trap', views: 1, ram: 10, roots: [[8, 32]], slots: [1, 255, 0, 510, 511], end: 203 },
    frames: [1021, 1022, 1023, 1024, 1025, 1026, 1027, 1028, 1029, 1030],
    vas: ['0xc020106f'],
    ops: [
      { k: 'monitor', g: 0, r: 0, a: 0 },
      { k: 'killview', g: 0 },
      { k: 'gone', r: 0 },
      { k: 'newview', g: 0 },
      { k: 'monitor', g: 0, r: 0, a: 0 },
    ],
  },
  'an address that leads nowhere before and after was led away from its marks all the same (C4)': {
    ...{ mode: '4-level', source: 'trap', views: 1, ram: 6, slots: [1, 3, 256, 510, 511], end: 0 },
    frames: [509, 510, 511, 512, 513, 34359738368, 512, 1024, 2048, 262144, 524288, 74565, 1099511627775],
    roots: [
      [3, 0],
      [0, 0],
    ],
    vas: ['0x18060003000'],
    ops: [
      { k: 'monitor', g: 0, r: 0, a: 0 },
      { k: 'range', g: 0, r: 1, a: 0, n: 1 },
      { k: 'set', f: 0, s: 1, v: [0, 7], c: 0, w: 2 },
      { k: 'map', r: 0, a: 0, lv: 1, v: [0, 7], t: [3], c: 0, w: 2 },
      { k: 'put', r: 0, a: 0, lv: 1, v: [2, 7], c: 0, w: 0 },
      { k: 'map', r: 0, a: 0, lv: 1, v: [0, 7], t: [2, 3], c: 1, w: 0 },
      { k: 'range', g: 0, r: 0, a: 0, n: 1 },
      { k: 'land', c: 1, n: 1 },
    ],
  },
  'an entry that is marked after an address was silently led away from it touches the address (C4)': {
    ...{ mode: '5-level', source: 'trap', views: 1, ram: 13, roots: [[4, 0]], slots: [3, 510], end: 0 },
    frames: [509, 510, 511, 512, 513, 514, 515, 516, 517, 518, 519, 520, 521, 512, 1024, 2048, 262144, 524288],
    vas: ['0x3ff7fbfdfe000', '0xfffe0180ffdfe1e4'],
    ops: [
      { k: 'map', r: 0, a: 0, lv: 1, v: [1, 7], t: [3], c: 0, w: 2 },
      { k: 'monitor', g: 0, r: 0, a: 0 },
      { k: 'map', r: 0, a: 0, lv: 1, v: [0, 135], t: [5], c: 0, w: 2 },
      { k: 'map', r: 0, a: 0, lv: 1, v: [0, 7], t: [3], c: 1, w: 1 },
      { k: 'range', g: 0, r: 0, a: 1, n: 1 },
      { k: 'map', r: 0, a: 1, lv: 1, v: [0, 7], t: [5], c: 0, w: 2 },
      { k: 'map', r: 0, a: 0, lv: 1, v: [1, 7], c: 1, w: 1 },
      { k: 'map', r: 0, a: 0, lv: 1, v: [0, 7], c: 0, w: 2 },
    ],
  },
  'a table whose access could not be restored traps on, and nothing is said of it (C9)': {
    ...{ mode: '4-level', source: 'trap', views: 1, ram: 13, roots: [[7, 0]], slots: [510, 256, 2, 511, 255], end: 0 },
    frames: [1021, 1022, 1023, 1024, 1025, 1026, 1027, 1028, 1029, 1030, 1031, 1032, 1033, 512, 1024, 2048],
    vas: ['0xffffffbfffe00000'],
    access: [
      [0, 1, 3],
      [0, 6, 4],
      [0, 9, 3],
    ],
    ops: [
      { k: 'range', g: 0, r: 0, a: 0, n: 1 },
      { k: 'map', r: 0, a: 0, lv: 1, v: '0x0', t: [6], c: 0, w: 2 },
      { k: 'unview', g: 0 },
      { k: 'flip', r: 0, a: 0, lv: 1, bits: 1, c: 0, w: 1 },
    ],
  },
  'access that is restored at the end of the call that failed to restore it does not trap (C9)': {
    ...{ mode: '4-level', source: 'trap', views: 1, ram: 7, slots: [256, 256], vas: ['0xffff804020101000'], end: 0 },
    frames: [509, 510, 511, 512, 513, 514, 515, 512, 1024, 2048, 262144, 524288, 74565, 1099511627775],
    roots: [
      [5, 0],
      [12, 0],
      [6, 0],
    ],
    access: [
      [0, 6, 2],
      [0, 0, 6],
      [0, 6, 1],
    ],
    ops: [
      { k: 'monitor', g: 0, r: 0, a: 0 },
      { k: 'wide', f: 5, o: 2048, v: [[4, 23]], skip: 0, n: 8, c: 0, w: 2 },
      { k: 'map', r: 0, a: 0, lv: 1, v: [0, 7], t: [6], c: 0, w: 2 },
      { k: 'put', r: 0, a: 0, lv: 3, v: '0x0', c: 0, w: 1 },
      { k: 'range', g: 0, r: 0, a: 0, n: 1 },
      { k: 'flip', r: 2, a: 0, lv: 1, bits: 1, c: 0, w: 0 },
      { k: 'range', g: 0, r: 2, a: 0, n: 1 },
    ],
  },
};
