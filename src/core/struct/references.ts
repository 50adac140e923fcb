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
  /** Nothing, the one tag that most addresses have, or all of them in the order in which they were given. */
  #tags: Tag | Map<Tag, CountedTag> | undefined = undefined;
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
    const known = counted.get(tag);
    if (known === undefined) counted.set(tag, { tag, count: 1, since });
    else known.count++;
  }

  /** Releases one reference: of `tag`, or any. Returns whether there was one. */
  release(tag: Tag | undefined): boolean {
    if (tag !== undefined) {
      if (!this.has(tag)) return false;
      const counted = this.#counted();
      const its = counted.get(tag)!;
      its.count--;
      if (its.count === 0) counted.delete(tag);
    }
    this.count--;
    return true;
  }

  has(tag: Tag): boolean {
    return this.#tags instanceof Map ? this.#tags.has(tag) : this.#tags === tag;
  }

  /** In the order in which they were given. A fresh array. */
  tags(): Tag[] {
    if (this.#tags === undefined) return [];
    return this.#tags instanceof Map ? this.#list().map((each) => each.tag) : [this.#tags];
  }

  /** Whether both have as many references, with the same tags in the same order. */
  equals(other: References): boolean {
    if (this.count !== other.count) return false;
    if (!(this.#tags instanceof Map) && !(other.#tags instanceof Map)) return this.#tags === other.#tags;
    const [mine, theirs] = [this.#list(), other.#list()];
    return (
      mine.length === theirs.length &&
      mine.every(({ tag, count }, at) => tag === theirs[at]!.tag && count === theirs[at]!.count)
    );
  }

  /** Whether the tags of both were given in the same turns. */
  isAsOldAs(other: References): boolean {
    if (!(this.#tags instanceof Map) && !(other.#tags instanceof Map)) {
      return this.#tags === undefined || this.#since === other.#since;
    }
    const theirs = other.#list();
    return this.#list().every(({ since }, at) => since === theirs[at]!.since);
  }

  /** The tags of two lists of references to one address, in the order in which they were given. A fresh array. */
  static tagsOfBoth(a: References, b: References): Tag[] {
    const counted = [...a.#list(), ...b.#list()].sort((x, y) => x.since - y.since);
    return [...new Set(counted.map(({ tag }) => tag))];
  }

  /** Adds the references of another, whose tags were all given later than those of this one. */
  addAll(other: References): void {
    this.count += other.count;
    for (const { tag, count, since } of other.#list()) {
      if (this.#tags === undefined && count === 1) {
        this.#tags = tag;
        this.#since = since;
        continue;
      }
      const counted = this.#counted();
      const known = counted.get(tag);
      if (known === undefined) counted.set(tag, { tag, count, since });
      else known.count += count;
    }
  }

  /** Whether there are no references and no tags. */
  get isUntouched(): boolean {
    return this.count === 0 && (this.#tags === undefined || (this.#tags instanceof Map && this.#tags.size === 0));
  }

  /** Takes over the references of another. */
  assign(other: References): void {
    this.count = other.count;
    this.#since = other.#since;
    this.#tags =
      other.#tags instanceof Map ? new Map(other.#list().map((each) => [each.tag, { ...each }])) : other.#tags;
  }

  clear(): void {
    this.count = 0;
    this.#tags = undefined;
  }

  #counted(): Map<Tag, CountedTag> {
    if (!(this.#tags instanceof Map)) this.#tags = new Map(this.#list().map((each) => [each.tag, each]));
    return this.#tags;
  }

  /** A fresh array. */
  #list(): CountedTag[] {
    if (this.#tags === undefined) return [];
    return this.#tags instanceof Map ? [...this.#tags.values()] : [{ tag: this.#tags, count: 1, since: this.#since }];
  }
}
