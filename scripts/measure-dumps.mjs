/**
 * What reading dumps costs: `node scripts/measure-dumps.mjs [MIB…]`, after `npm run build`. Boots a real guest of each size (defaults to
 * 256 and 4096 MiB) whose workload has most of its memory in small pages, saves it in several formats, and prints a table: how long a map of
 * the whole address space takes (opening included), how fast a search looks through all memory, and the most memory that each took. Every
 * figure is the median of three processes of its own.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { openDump } from '../dist/drivers/dump/index.js';
import { findWorkloadRoot, launchGuest, QmpClient } from '../dist/drivers/qemu/index.js';
import { findAddressSpace, findRoots, listRanges } from '../dist/snapshot/index.js';

const ROUNDS = 3;
const SMALL_VA = '0x700000000000';

/** @typedef {{ path: string, root: string, ramMap?: string }} Source */

/** Runs in a process of its own. @param {'map' | 'search' | 'nothing'} what @param {Source} source */
async function measure(what, { path, root, ramMap }) {
  const start = performance.now();
  let count = 0;
  let byteLength = 0;
  if (what !== 'nothing') {
    const dump = await openDump(path, ramMap === undefined ? {} : { ramMap });
    byteLength = dump.regions.reduce((sum, region) => sum + region.byteLength, 0);
    if (what === 'map') {
      const space = await findAddressSpace(dump, { root: BigInt(root), mode: '4-level' });
      for await (const range of listRanges(dump, space, { by: 'runs' })) count += range.byteLength / 4096;
    } else {
      count = (await findRoots(dump)).filter(({ confidence }) => confidence === 'sure').length;
    }
    await dump.close();
  }
  const ms = performance.now() - start;
  process.stdout.write(JSON.stringify({ ms, byteLength, count, rss: process.resourceUsage().maxRSS * 1024 }));
}

/** @param {string} what @param {Source | object} source */
function medianOf(what, source) {
  const runs = Array.from({ length: ROUNDS }, () => {
    const args = [process.argv[1] ?? '', '--measure', what, JSON.stringify(source)];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    if (status !== 0) throw new Error(stderr);
    return JSON.parse(stdout);
  });
  runs.sort((a, b) => a.ms - b.ms);
  return runs[ROUNDS >> 1];
}

/** @param {number} memoryMiB @param {string} folder @param {number} baseRss */
async function measureGuest(memoryMiB, folder, baseRss) {
  const guest = await launchGuest({ cpu: 'max,la57=off', memoryMiB });
  try {
    await guest.waitForReady();
    const pages = memoryMiB * 150;
    await guest.workload.command(`map ${pages} small at=${SMALL_VA}`);
    await guest.workload.command(`touch ${SMALL_VA} ${pages}`, { timeoutMs: 300_000 });
    const qmp = await QmpClient.connect(guest.qmpPath, { timeoutMs: 300_000 });
    const root = `0x${(await findWorkloadRoot(qmp, guest.workload)).toString(16)}`;
    await qmp.execute('stop');
    const elf = join(folder, 'elf');
    const kdump = join(folder, 'kdump');
    await qmp.execute('dump-guest-memory', { paging: false, protocol: `file:${elf}` });
    await qmp.execute('dump-guest-memory', { paging: false, protocol: `file:${kdump}`, format: 'kdump-zlib' });
    await qmp.close();
    const ramMap = memoryMiB > 3072 ? `0x0+3G@0,0x100000000+${memoryMiB - 3072}M@3G` : undefined;
    /** @type {readonly [string, Source][]} */
    const sources = [
      ['ELF core', { path: elf, root }],
      ['RAM file', { path: guest.ramFile, root, ...(ramMap !== undefined && { ramMap }) }],
      ['kdump, zlib, flattened', { path: kdump, root }],
    ];
    const mapped = new Set();
    for (const [name, source] of sources) {
      const [map, search] = [medianOf('map', source), medianOf('search', source)];
      mapped.add(map.count);
      const mib = (/** @type {number} */ bytes) => (bytes / 2 ** 20).toFixed(0);
      process.stdout.write(
        `| ${memoryMiB} MiB | ${name}, ${mib(statSync(source.path).size)} MiB | ${map.count} | ${(map.ms / 1000).toFixed(2)} s | ${mib(map.rss - baseRss)} MiB ` +
          `| ${(search.byteLength / 1e6 / (search.ms / 1000)).toFixed(0)} MB/s | ${(search.ms / 1000).toFixed(1)} s | ${mib(search.rss - baseRss)} MiB | ${search.count} |\n`,
      );
    }
    if (mapped.size !== 1) throw new Error(`the sources map ${[...mapped].join(', ')} pages`);
  } finally {
    await guest.stop();
  }
}

const [flag, what, source] = process.argv.slice(2);
if (flag === '--measure') {
  await measure(/** @type {'map'} */ (what), JSON.parse(source ?? ''));
} else {
  const sizes = process.argv.length > 2 ? process.argv.slice(2).map(Number) : [256, 4096];
  const baseRss = medianOf('nothing', {}).rss;
  process.stdout.write(`Node itself takes ${(baseRss / 2 ** 20).toFixed(0)} MiB, which are left out below.\n\n`);
  process.stdout.write('| guest | source | pages mapped | map | memory | search | all of it | memory | sure roots |\n');
  process.stdout.write('|---|---|---|---|---|---|---|---|---|\n');
  for (const memoryMiB of sizes) {
    const folder = mkdtempSync(join(tmpdir(), 'ptmon-measure-'));
    try {
      await measureGuest(memoryMiB, folder, baseRss);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
}
