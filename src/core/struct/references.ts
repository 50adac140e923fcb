/** Counted references, each with an optional tag (rule R1). */

/** A name that a caller gives to a watched address, to recognize it in its events. */
export type Tag = string | number;

interface CountedTag {
  readonly tag: Tag;
  count: number;
  /** The turn in which it was given first. */
  readonly since: number;
}

let turns = 0;

/** A number for all tags that one call gives, greater than those of earlier calls. */
export function nextTurn(): number {
  turns++;
  return turns;
}

/** One reference for each call that took one. A tag stays while any reference is left, unless it is released by name. */
export class References {
  count = 0;
  /** Nothing, the one tag that most addresses have (an array would cost 56 bytes more), or all of them with their counts. */
  #tags: Tag | CountedTag[] | undefined = undefined;
  /** Of the one tag: as of a `CountedTag`. */
  #since = 0;

  add(tag: Tag | undefined, since: number): void {
    this.count++;
    if (tag === undefined) return;
    if (this.#tags === undefined) {
      this.#tags = tag;
      this.#since = since;
      return;
    }
    const counted = this.#counted();
    const known = counted.find((each) => each.tag === tag);
    if (known === undefined) counted.push({ tag, count: 1, since });
    else known.count++;
  }

  /** Releases one reference: of `tag`, or any. Returns whether there was one. */
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

  /** Whether both have as many references, with the same tags in the same order. */
  equals(other: References): boolean {
    if (this.count !== other.count) return false;
    if (!Array.isArray(this.#tags) && !Array.isArray(other.#tags)) return this.#tags === other.#tags;
    const [mine, theirs] = [this.#counted(), other.#counted()];
    return (
      mine.length === theirs.length &&
      mine.every(({ tag, count }, at) => tag === theirs[at]!.tag && count === theirs[at]!.count)
    );
  }

  /** Whether the tags of both were given in the same turns. */
  isAsOldAs(other: References): boolean {
    if (!Array.isArray(this.#tags) && !Array.isArray(other.#tags)) {
      return this.#tags === undefined || this.#since === other.#since;
    }
    const theirs = other.#counted();
    return this.#counted().every(({ since }, at) => since === theirs[at]!.since);
  }

  /** The tags of two lists of references to one address, in the order in which they were given. A fresh array. */
  static tagsOfBoth(a: References, b: References): Tag[] {
    const counted = [...a.#counted(), ...b.#counted()].sort((x, y) => x.since - y.since);
    return [...new Set(counted.map(({ tag }) => tag))];
  }

  /** Takes over the references of another. */
  assign(other: References): void {
    this.count = other.count;
    this.#since = other.#since;
    this.#tags = Array.isArray(other.#tags) ? other.#tags.map((each) => ({ ...each })) : other.#tags;
  }

  clear(): void {
    this.count = 0;
    this.#tags = undefined;
  }

  #counted(): CountedTag[] {
    if (!Array.isArray(this.#tags))
      this.#tags = this.#tags === undefined ? [] : [{ tag: this.#tags, count: 1, since: this.#since }];
    return this.#tags;
  }
}
