/** Watches what a Linux guest's processes have mapped, from the moment on at which it can be known. */

/** From one look at the guest's lists to the next, in milliseconds. */
const INTERVAL_MS = 3;
const PAGE = 4096n;

/** @typedef {import('../dist/linux/index.js').Process} Process */
/** @typedef {{ root: number, va: bigint, byteLength: bigint, tag: string }} Watched */

/** Where the workload is told to map memory: watched before there is any. That it maps some writes to no page table. */
const STAGE = { start: 0x100000000000n, end: 0x100010000000n, name: '[stage]' };

export class ProcessFollower {
  /** @type {import('../dist/core/index.js').PageTableMonitor} */
  #monitor;
  /** @type {import('../dist/linux/index.js').LinuxGuest} */
  #linux;
  /** @type {(process: Process) => boolean} */
  #isWanted;
  /** By root, then by place and name. @type {Map<number, Map<string, Watched>>} */
  #watched = new Map();
  #lastMs = 0;

  /**
   * @param {import('../dist/core/index.js').PageTableMonitor} monitor
   * @param {import('../dist/linux/index.js').LinuxGuest} linux that reads the guest's own memory, not what is recorded of it
   * @param {(process: Process) => boolean} isWanted
   */
  constructor(monitor, linux, isWanted) {
    this.#monitor = monitor;
    this.#linux = linux;
    this.#isWanted = isWanted;
  }

  /** While the guest is stopped: watches what is new, releases what is gone. */
  async update() {
    if (performance.now() - this.#lastMs < INTERVAL_MS) return;
    const { processes } = await this.#linux.processes();
    const alive = new Set();
    for (const process of processes) {
      const [root] = process.roots;
      if (root === undefined || process.mm === null || !this.#isWanted(process)) continue;
      alive.add(root);
      await this.#follow(process, root, process.mm);
    }
    for (const root of this.#watched.keys()) {
      // A process that ends frees its memory first; then the kernel removes it.
      if (alive.has(root) || !this.#isEmpty(root)) continue;
      this.#monitor.rootGone(root);
      this.#watched.delete(root);
    }
    this.#lastMs = performance.now();
  }

  /** Whether nothing is mapped in the lower half any more. @param {number} root */
  #isEmpty(root) {
    const { physical } = this.#linux.kernel.memory;
    const entry = new Uint32Array(2);
    for (let slot = 0; slot < 256; slot += 1) {
      physical.readEntry(root + slot * 8, 8, entry);
      if (entry[0] !== 0 || entry[1] !== 0) return false;
    }
    return true;
  }

  /** @param {Process} process @param {number} root @param {bigint} mm */
  async #follow(process, root, mm) {
    const before = this.#watched.get(root) ?? new Map();
    const now = new Map();
    const { areas } = await this.#linux.areasOf(mm);
    const elsewhere = areas.filter(({ start, end }) => end <= STAGE.start || (start >= STAGE.end && start < 1n << 63n));
    for (const area of process.command === 'workload' ? [...elsewhere, STAGE] : elsewhere) {
      const tag = `${process.command}[${process.pid}]:${nameOf(area.name, process.command)}`;
      const watched = { root, va: area.start, byteLength: area.end - area.start, tag };
      const key = `${area.start / PAGE} ${area.end / PAGE} ${tag}`;
      if (!before.has(key)) this.#monitor.monitorRange({ ...watched, runs: true });
      now.set(key, watched);
    }
    for (const [key, watched] of before) if (!now.has(key)) this.#monitor.unmonitorRange(watched);
    this.#watched.set(root, now);
  }
}

/** `heap` for `[heap]`, `exe` for the program's own file. @param {string} name @param {string} command */
function nameOf(name, command) {
  if (name === '') return 'anon';
  const last = name.startsWith('[') ? name.slice(1, -1) : name.slice(name.lastIndexOf('/') + 1);
  return last === command ? 'exe' : last;
}
