/** Words of the kernel's that tell of processes: where they are, and whether they still hold what they held. */
import { type PhysicalMemory, READ_NOT_FETCHED, READ_OK } from '../../core/memory/physical-memory.ts';
import { PtmonError } from '../../core/error.ts';

const WORD_BYTES = 8;

export class WordList {
  readonly #memory: PhysicalMemory;
  readonly #trapBytes: 4 | 8;
  /** Physical addresses, multiples of 8, each once. */
  #addresses = new Float64Array();
  #known: ReadonlySet<number> = new Set();
  #values: Uint32Array = new Uint32Array();

  /** @param trapBytes what a trap at an address covers: an entry of the guest's page tables */
  constructor(memory: PhysicalMemory, trapBytes: 4 | 8) {
    this.#memory = memory;
    this.#trapBytes = trapBytes;
  }

  /** Where to trap, so that all of each word is. */
  get addresses(): Float64Array {
    if (this.#trapBytes === WORD_BYTES) return this.#addresses;
    return Float64Array.from([...this.#addresses].flatMap((pa) => [pa, pa + this.#trapBytes]));
  }

  /** Takes the place of all before, with what they hold now. @throws PtmonError `not-fetched`, and then nothing has changed */
  set(addresses: ReadonlySet<number>): void {
    const list = Float64Array.from(addresses);
    this.#values = this.#read(list);
    this.#addresses = list;
    this.#known = addresses;
  }

  /** Whether a write touched one of them. */
  isTouched(pa: number, byteLength: number): boolean {
    for (let at = pa - (pa % WORD_BYTES); at < pa + byteLength; at += WORD_BYTES) if (this.#known.has(at)) return true;
    return false;
  }

  /** Whether one of them holds something else now. @throws PtmonError `not-fetched` */
  hasChanged(): boolean {
    const values = this.#read(this.#addresses);
    return values.some((value, index) => value !== this.#values[index]);
  }

  #read(addresses: Float64Array): Uint32Array {
    const values = new Uint32Array(addresses.length * 2);
    const missing: number[] = [];
    for (const [index, pa] of addresses.entries()) {
      const outcome = this.#memory.readEntry(pa, WORD_BYTES, values.subarray(index * 2, index * 2 + 2));
      if (outcome === READ_NOT_FETCHED) missing.push(pa);
      else if (outcome !== READ_OK) values.fill(0, index * 2, index * 2 + 2);
    }
    if (missing.length > 0) throw new PtmonError('not-fetched', 'words are not fetched yet', { missing });
    return values;
  }
}

/** The words that a field of so many bytes at `pa` is in. */
export function wordsOf(pa: number, byteLength = WORD_BYTES): number[] {
  const words: number[] = [];
  for (let at = pa - (pa % WORD_BYTES); at < pa + byteLength; at += WORD_BYTES) words.push(at);
  return words;
}
