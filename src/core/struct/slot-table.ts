/**
 * A set of slots of one table, and a record of words for each, in as little memory as they need.
 *
 * What belongs to a slot stands at its *position*. Slots that lie close together (a heap, a range) are a window: a slot's
 * position is a subtraction, and to add or remove one moves nothing. The others are a list:
 *
 *      window    slots 64 … 127      position = slot - 64, one bit for each that is present
 *      list      slots 3, 90, 400    position 0, 1, 2
 *
 * A position is good until the next `insert` or `remove`.
 */

/** Positions that a window may have for each slot that is present; a list of 512 slots is then no longer than 128. */
const THIN = 4;

const LEAST_LIST = 4;
const NO_WORDS: Uint32Array = new Uint32Array(0);

export class SlotTable<T> {
  // What every look-up needs comes last, next to the first fields of the class that extends this one: fewer cache lines.
  #stride: number;
  #length = 0;
  #capacity = 0;
  /** List: the slots, ascending; null in a window. */
  #list: Uint16Array | null = null;
  /** Window with a gap: a bit for each position, set where the slot is present. Others have no use for it. */
  #present = NO_WORDS;
  /** Something beside each record; null until the first is set. */
  #items: (T | null)[] | null = null;
  /** Window in which exactly the first positions are present: how many they are; 0 in others. */
  #gapless = 0;
  /** Window: the slot at position 0. */
  #base = 0;
  /** The record of the slot at a position begins at `position * stride`; all zeros at first. */
  words: Uint32Array = NO_WORDS;

  constructor(stride: number) {
    this.#stride = stride;
  }

  /** Slots that are present. */
  get slotCount(): number {
    return this.#length;
  }

  /** Whether this is a window in which exactly the first positions are present. */
  get isGapless(): boolean {
    return this.#gapless > 0;
  }

  /** Words of a record. */
  get stride(): number {
    return this.#stride;
  }

  /** Positions that there is room for. */
  get capacity(): number {
    return this.#capacity;
  }

  /** The slot at a position. */
  slotAt(position: number): number {
    return this.#list === null ? this.#base + position : this.#list[position]!;
  }

  /** The position of a slot; -1 where it is absent. */
  find(slot: number): number {
    // Most windows have no gap. Small enough to be inlined, and without a look at the bits.
    const position = slot - this.#base;
    return position >= 0 && position < this.#gapless ? position : this.#search(slot);
  }

  #search(slot: number): number {
    if (this.#list === null) {
      if (this.#gapless > 0) return -1;
      const position = slot - this.#base;
      return position >= 0 && position < this.#capacity && this.#isPresent(position) ? position : -1;
    }
    const position = this.#lowerBound(slot);
    return position < this.#length && this.#list[position] === slot ? position : -1;
  }

  /** The position of the first slot that is not below `slot`; -1 where there is none. */
  firstFrom(slot: number): number {
    if (this.#list === null) return this.#presentFrom(Math.max(0, slot - this.#base));
    const position = this.#lowerBound(slot);
    return position < this.#length ? position : -1;
  }

  /** The position of the next slot; -1 after the last. */
  nextAfter(position: number): number {
    if (this.#list === null) return this.#presentFrom(position + 1);
    return position + 1 < this.#length ? position + 1 : -1;
  }

  /** Adds a slot that is absent. Returns its position. */
  insert(slot: number): number {
    if (!this.#hasRoomFor(slot)) this.#arrange(slot);
    return this.#list === null ? this.#insertInWindow(slot) : this.#insertInList(slot);
  }

  /** Removes the slot at a position. */
  remove(position: number): void {
    this.#length--;
    if (this.#list !== null) return this.#closeGap(position);
    if (position === this.#gapless - 1) {
      this.#gapless = position;
    } else {
      this.#notePresent();
      this.#present[position >>> 5]! &= ~(1 << (position & 31));
    }
    this.#clear(position);
    if (this.#length > 0 && this.#capacity > 2 * THIN * this.#length) this.#arrange();
  }

  /** Null where nothing was set. */
  itemAt(position: number): T | null {
    return this.#items === null ? null : this.#items[position]!;
  }

  setItem(position: number, item: T | null): void {
    this.#items ??= nulls(this.#capacity);
    this.#items[position] = item;
  }

  /** Makes records longer; the words that they had come first. */
  widen(stride: number): void {
    const { words } = this;
    const length = this.#stride;
    this.#stride = stride;
    this.#makeRecords();
    for (let position = 0; position < this.#capacity; position++) {
      for (let word = 0; word < length; word++) this.words[position * stride + word] = words[position * length + word]!;
    }
  }

  /** Records of zeros, for all positions. */
  #makeRecords(): void {
    this.words = new Uint32Array(this.#stride * this.#capacity);
  }

  #hasRoomFor(slot: number): boolean {
    if (this.#list !== null) return this.#length < this.#capacity;
    return slot >= this.#base && slot < this.#base + this.#capacity;
  }

  #isPresent(position: number): boolean {
    return ((this.#present[position >>> 5]! >>> (position & 31)) & 1) !== 0;
  }

  /** The first position from `position` on that is present. */
  #presentFrom(position: number): number {
    if (this.#gapless > 0) return position < this.#gapless ? position : -1;
    const present = this.#present;
    let word = position >>> 5;
    if (word >= present.length) return -1;
    let bits = present[word]! & (-1 << (position & 31));
    while (bits === 0) {
      if (++word === present.length) return -1;
      bits = present[word]!;
    }
    return word * 32 + 31 - Math.clz32(bits & -bits);
  }

  #lowerBound(slot: number): number {
    const list = this.#list!;
    let low = 0;
    let high = this.#length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (list[middle]! < slot) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #insertInWindow(slot: number): number {
    const position = slot - this.#base;
    const staysGapless = position === this.#gapless && this.#gapless === this.#length;
    this.#length++;
    if (staysGapless || this.#length === this.#capacity) {
      this.#gapless = this.#length;
      this.#present = NO_WORDS;
    } else {
      this.#notePresent();
      this.#present[position >>> 5]! |= 1 << (position & 31);
    }
    return position;
  }

  /** The window has a gap from now on: notes which positions are present. */
  #notePresent(): void {
    if (this.#present === NO_WORDS) this.#present = new Uint32Array((this.#capacity + 31) >>> 5);
    for (let position = 0; position < this.#gapless; position++) this.#present[position >>> 5]! |= 1 << (position & 31);
    this.#gapless = 0;
  }

  #insertInList(slot: number): number {
    const position = this.#lowerBound(slot);
    for (let to = this.#length; to > position; to--) this.#move(to - 1, to);
    this.#length++;
    this.#list![position] = slot;
    this.#clear(position);
    return position;
  }

  #closeGap(position: number): void {
    for (let to = position; to < this.#length; to++) this.#move(to + 1, to);
    this.#clear(this.#length);
  }

  /** Within the list. */
  #move(from: number, to: number): void {
    this.#list![to] = this.#list![from]!;
    this.#copy(this.words, this.#items, from, to);
  }

  #copy(words: Uint32Array, items: (T | null)[] | null, from: number, to: number): void {
    const stride = this.#stride;
    for (let word = 0; word < stride; word++) this.words[to * stride + word] = words[from * stride + word]!;
    if (items !== null) this.#items![to] = items[from]!;
  }

  #clear(position: number): void {
    const begin = position * this.#stride;
    for (let word = begin; word < begin + this.#stride; word++) this.words[word] = 0;
    if (this.#items !== null) this.#items[position] = null;
  }

  /** New room for the slots that are present, and for `coming` where it is given: a window where they lie close, else a list. */
  #arrange(coming = -1): void {
    const positions: number[] = [];
    for (let at = this.firstFrom(0); at >= 0; at = this.nextAfter(at)) positions.push(at);
    const slots = positions.map((at) => this.slotAt(at));
    const all = coming < 0 ? slots : [...slots, coming];
    const first = Math.min(...all);
    const last = Math.max(...all);
    const span = last - first + 1;
    const isWindow = span <= THIN * all.length;

    const [words, items] = [this.words, this.#items];
    this.#capacity = isWindow ? powerOfTwo(span) : Math.max(LEAST_LIST, powerOfTwo(all.length));
    // Room where the table has just grown: behind its last slot, or before its first.
    this.#base = coming === first ? Math.max(0, last + 1 - this.#capacity) : first;
    this.#present = NO_WORDS;
    this.#list = isWindow ? null : new Uint16Array(this.#capacity);
    this.#gapless = 0;
    this.#makeRecords();
    this.#items = items && nulls(this.#capacity);
    this.#length = 0;
    for (let index = 0; index < slots.length; index++) {
      const slot = slots[index]!;
      const to = isWindow ? this.#insertInWindow(slot) : this.#insertInList(slot);
      this.#copy(words, items, positions[index]!, to);
    }
  }
}

function powerOfTwo(atLeast: number): number {
  return 2 ** (32 - Math.clz32(atLeast - 1));
}

function nulls<T>(length: number): (T | null)[] {
  return Array.from({ length }, () => null);
}
