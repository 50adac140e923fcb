/**
 * The single watches of one page, kept in its page table's node.
 *
 * Nearly every watched page has one watch with one reference and at most one tag. That is kept in the slot's record
 * (`table-node`): 8 bytes, where a `Watch` takes 64 and one more cache miss (30 ns of a flip among 100 k). Everything else is a
 * chain of `Watch`, by offset.
 */
import type { Tag } from '../events.ts';
import { Watch } from '../../struct/references.ts';
import type { TableNode } from './table-node.ts';

/** A watch with one reference and no tag. */
export const UNTAGGED = Symbol('untagged');

/** Who holds an address: its only reference's tag, or a watch of its own. */
export type Holder = Tag | typeof UNTAGGED | Watch;

/** Who holds one byte of a page; null when nobody does. */
export function holderAt(node: TableNode, position: number, offset: number): Holder | null {
  const item = node.watchedAt(position);
  if (item === null || !(item instanceof Watch))
    return item !== null && node.offsetAt(position) === offset ? item : null;
  let watch: Watch | null = item;
  while (watch !== null && watch.offset !== offset) watch = watch.next;
  return watch;
}

/** One more reference to one byte of a page. Answers whether it is the first. */
export function hold(node: TableNode, position: number, offset: number, tag: Tag | undefined): boolean {
  if (node.watchedAt(position) === null) {
    node.setWatched(position, tag ?? UNTAGGED, offset);
    return true;
  }
  const first = chainAt(node, position);
  let before: Watch | null = null;
  let watch: Watch | null = first;
  while (watch !== null && watch.offset < offset) {
    before = watch;
    watch = watch.next;
  }
  const isNew = watch === null || watch.offset !== offset;
  if (isNew) {
    watch = new Watch(offset, watch);
    if (before === null) node.setWatched(position, watch, 0);
    else before.next = watch;
  }
  watch!.add(tag);
  return isNew;
}

/** One reference less (of `tag`, where one is given) to one byte that is held. Answers whether there was one. */
export function release(node: TableNode, position: number, offset: number, tag: Tag | undefined): boolean {
  const item = node.watchedAt(position);
  if (!(item instanceof Watch)) {
    if (tag !== undefined && item !== tag) return false;
    node.setWatched(position, null, 0);
    return true;
  }
  const watch = holderAt(node, position, offset) as Watch;
  if (!watch.release(tag)) return false;
  if (watch.count === 0) releaseAll(node, position, offset);
  return true;
}

/** No reference any more to one byte that is held. */
export function releaseAll(node: TableNode, position: number, offset: number): void {
  const item = node.watchedAt(position);
  if (!(item instanceof Watch)) return node.setWatched(position, null, 0);
  if (item.offset === offset) return node.setWatched(position, item.next, 0);
  let before = item;
  while (before.next!.offset !== offset) before = before.next!;
  before.next = before.next!.next;
}

/** How often an address is held. */
export function referencesOf(holder: Holder | null): number {
  if (holder === null) return 0;
  return holder instanceof Watch ? holder.count : 1;
}

/** The tags under which an address is held. A fresh array. */
export function tagsOf(holder: Holder): Tag[] {
  if (holder instanceof Watch) return holder.tags();
  return holder === UNTAGGED ? [] : [holder];
}

/** Every watched byte of a page, ascending. */
export function* watchesAt(node: TableNode, position: number): Generator<{ offset: number; holder: Holder }> {
  const item = node.watchedAt(position);
  if (item instanceof Watch) {
    for (let watch: Watch | null = item; watch !== null; watch = watch.next)
      yield { offset: watch.offset, holder: watch };
  } else if (item !== null) {
    yield { offset: node.offsetAt(position), holder: item };
  }
}

/** The same watches as a chain, whatever they were. */
function chainAt(node: TableNode, position: number): Watch {
  const item = node.watchedAt(position)!;
  if (item instanceof Watch) return item;
  const watch = new Watch(node.offsetAt(position), null);
  watch.add(item === UNTAGGED ? undefined : item);
  node.setWatched(position, watch, 0);
  return watch;
}
