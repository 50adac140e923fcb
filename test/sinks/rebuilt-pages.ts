/** Rebuilds from lines of JSONL alone which page is where, as docs/formats/jsonl.md explains it, and notes each contradiction. */

interface Run {
  readonly va: string;
  readonly pa: string;
  readonly pageSize: number;
  readonly pages?: number;
}

interface Line {
  readonly kind: string;
  readonly seq?: number;
  readonly view?: number;
  readonly root?: string;
  readonly va?: string;
  readonly pa?: string;
  readonly pages?: number;
  readonly backed?: readonly Run[];
}

export class RebuiltPages {
  readonly contradictions: string[] = [];
  /** Page-ins and page-outs that fit. */
  fitting = 0;
  /** By view and root, by address. */
  readonly #spaces = new Map<string, Map<bigint, bigint>>();

  constructor(jsonl = '') {
    for (const line of jsonl.split('\n')) if (line !== '') this.take(JSON.parse(line) as Line);
  }

  /** Where an address is; undefined where nothing backs it, or nothing watches it. */
  at(root: number, va: bigint, view = 0): bigint | undefined {
    return this.#spaces.get(`${view} 0x${root.toString(16)}`)?.get(va);
  }

  /** Of an address space, ascending. */
  pagesOf(root: number, view = 0): (readonly [va: bigint, pa: bigint])[] {
    return [...(this.#spaces.get(`${view} 0x${root.toString(16)}`) ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
  }

  take(line: Line): void {
    switch (line.kind) {
      case 'watch':
      case 'unwatch':
        return this.#setWatched(line);
      case 'page-in':
      case 'page-out':
        return this.#move(line);
      case 'end':
        this.#spaces.clear();
    }
  }

  #setWatched({ view, root, va, pages, backed = [] }: Line): void {
    for (const [key, space] of this.#spaces) {
      const [itsView, itsRoot] = key.split(' ');
      if ((view !== undefined && String(view) !== itsView) || (root !== undefined && root !== itsRoot)) continue;
      for (const address of space.keys()) if (isMeant({ va, pages }, address)) space.delete(address);
    }
    if (backed.length === 0) return;
    const space = this.#space({ view: view!, root: root! });
    for (const run of backed) {
      for (const [at, address] of addressesOf(run).entries()) space.set(address, BigInt(run.pa) + BigInt(at * 4096));
    }
  }

  #move(line: Line): void {
    const { kind, seq, va, pa, pages = 1 } = line;
    const space = this.#space({ view: line.view!, root: line.root! });
    for (const [at, address] of addressesOf({ va: va!, pages }).entries()) {
      const where = BigInt(pa!) + BigInt(at * 4096);
      const was = space.get(address);
      if (was === (kind === 'page-in' ? undefined : where)) this.fitting++;
      else this.contradictions.push(`${seq}: ${kind} of 0x${address.toString(16)} at ${where}, which was at ${was}`);
      if (kind === 'page-in') space.set(address, where);
      else space.delete(address);
    }
  }

  #space({ view, root }: { readonly view: number; readonly root: string }): Map<bigint, bigint> {
    const key = `${view} ${root}`;
    const space = this.#spaces.get(key) ?? new Map<bigint, bigint>();
    this.#spaces.set(key, space);
    return space;
  }
}

/** A range is about the first byte of each of its pages. A range may have more pages than there is time to name. */
function isMeant(
  { va, pages }: { readonly va: string | undefined; readonly pages: number | undefined },
  address: bigint,
): boolean {
  if (va === undefined) return true;
  const distance = address - BigInt(va);
  if (pages === undefined) return distance === 0n;
  return distance >= 0n && distance < BigInt(pages) * 4096n && distance % 4096n === 0n;
}

function addressesOf({ va, pages = 1 }: { readonly va: string; readonly pages?: number }): bigint[] {
  return Array.from({ length: pages }, (_, at) => BigInt(va) + BigInt(at * 4096));
}
