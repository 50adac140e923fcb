/** Where pages go that are not in memory. */
import { PAGE_BYTES } from '../../../core/address/pa.ts';

interface Slot {
  readonly content: Uint8Array;
  /** Entries that name the slot: more than one after a fork. */
  references: number;
}

/** Slots that exist: 64 MiB. */
const SLOTS = 16384;

export class SwapDevice {
  readonly #slots = new Map<number, Slot>();
  readonly #free: number[] = [];
  #next = 1;

  /** Slots in use. */
  get used(): number {
    return this.#slots.size;
  }

  get full(): boolean {
    return this.#slots.size >= SLOTS;
  }

  /** Keeps a copy of a page. Returns its slot, referenced once. */
  store(page: Uint32Array): number {
    const offset = this.#free.pop() ?? this.#next++;
    const content = new Uint8Array(PAGE_BYTES);
    content.set(new Uint8Array(page.buffer, page.byteOffset, PAGE_BYTES));
    this.#slots.set(offset, { content, references: 1 });
    return offset;
  }

  /** The page in a slot. */
  content(offset: number): Uint8Array {
    return this.#slot(offset).content;
  }

  /** One more entry names the slot. */
  hold(offset: number): void {
    this.#slot(offset).references++;
  }

  /** One entry less; the last one frees the slot. */
  drop(offset: number): void {
    if (--this.#slot(offset).references > 0) return;
    this.#slots.delete(offset);
    this.#free.push(offset);
  }

  #slot(offset: number): Slot {
    const slot = this.#slots.get(offset);
    if (slot === undefined) throw new Error(`swap slot ${offset} is not in use`);
    return slot;
  }
}
