/** Who holds a watched address, and under which names (rule R1). */
import type { Tag } from '../monitor/events.ts';

interface CountedTag {
  readonly tag: Tag;
  count: number;
}

/** One reference a `monitor` call. Tags stay while any reference is left, unless they are released by name. */
export class References {
  count = 0;
  /** Nothing, the one tag that most addresses have (an array would cost 56 bytes more), or all of them with their counts. */
  #tags: Tag | CountedTag[] | undefined = undefined;

  add(tag: Tag | undefined): void {
    this.count++;
    if (tag === undefined) return;
    if (this.#tags === undefined) {
      this.#tags = tag;
      return;
    }
    const counted = this.#counted();
    const known = counted.find((each) => each.tag === tag);
    if (known === undefined) counted.push({ tag, count: 1 });
    else known.count++;
  }

  /** Takes one reference away: of `tag`, or any. Answers whether there was one. */
  release(tag: Tag | undefined): boolean {
    if (tag !== undefined) {
      if (!this.has(tag)) return false;
      const counted = this.#counted();
      const at = counted.findIndex((each) => each.tag === tag);
      counted[at]!.count--;
      if (counted[at]!.count === 0) counted.splice(at, 1);
    }
    this.count--;
    return true;
  }

  has(tag: Tag): boolean {
    return this.tags().includes(tag);
  }

  /** In the order in which they were given. A fresh array. */
  tags(): Tag[] {
    if (this.#tags === undefined) return [];
    return Array.isArray(this.#tags) ? this.#tags.map((each) => each.tag) : [this.#tags];
  }

  /** Whether both are held as often, under the same names in the same order. */
  equals(other: References): boolean {
    if (this.count !== other.count) return false;
    if (!Array.isArray(this.#tags) && !Array.isArray(other.#tags)) return this.#tags === other.#tags;
    const [mine, theirs] = [this.#counted(), other.#counted()];
    return (
      mine.length === theirs.length &&
      mine.every(({ tag, count }, at) => tag === theirs[at]!.tag && count === theirs[at]!.count)
    );
  }

  copy(): References {
    const copy = new References();
    copy.count = this.count;
    copy.#tags = Array.isArray(this.#tags) ? this.#tags.map((each) => ({ ...each })) : this.#tags;
    return copy;
  }

  #counted(): CountedTag[] {
    if (!Array.isArray(this.#tags)) this.#tags = this.#tags === undefined ? [] : [{ tag: this.#tags, count: 1 }];
    return this.#tags;
  }
}

/** A watched address, other than as a page of a range: one byte offset of one page. */
export class Watch extends References {
  /** 0 to 4095. */
  readonly offset: number;
  /** The next watched offset of the same page. */
  next: Watch | null;

  constructor(offset: number, next: Watch | null) {
    super();
    this.offset = offset;
    this.next = next;
  }
}
