/** Counted references, each with an optional tag (rule R1). */

/** A name that a caller gives to a watched address, to recognize it in its events. */
export type Tag = string | number;

/** How often a tag was given. */
export interface GivenTag {
  readonly tag: Tag;
  readonly count: number;
  /** The turn in which it was given first. */
  readonly since: number;
}

interface CountedTag extends GivenTag {
  count: number;
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

  /** These tags and others of the same address, in the order in which they were given. A fresh array. */
  tagsWith(others: readonly GivenTag[]): Tag[] {
    const counted = [...this.#list(), ...others].sort((x, y) => x.since - y.since);
    return [...new Set(counted.map(({ tag }) => tag))];
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
