/**
 * The maple tree that has a process's areas since Linux 6.1 (lib/maple_tree.c, include/linux/maple_tree.h).
 *
 * A pointer to a node carries in its low byte what the node is (`mte_node_type`: bits 6:3), and a node begins with its parent. What
 * lies up to and with `pivot[i]` is in `slot[i]`; what lies behind the last pivot that is used, in the slot behind it.
 */
import type { Btf } from '../btf/btf.ts';
import { strange } from '../btf/header.ts';
import { offsetOf, offsetsOf } from '../btf/offsets.ts';
import { arrayLength, enumeratorOf, plainType, structureOf } from '../btf/structure.ts';
import { hex } from '../../core/address/va.ts';
import { attempt, GuestFault } from '../memory/guest-fault.ts';
import type { KernelMemory } from '../memory/kernel-memory.ts';
import type { Steps } from '../memory/steps.ts';

/** 10 to the power of which is more than 2^64. */
const MAX_DEPTH = 24;
/** MAPLE_RANGE64_SLOTS is 16, or 32 in a 32-bit kernel. */
const MAX_SLOTS = 256;

/** How a kind of node is laid out. */
interface NodeLayout {
  readonly isLeaf: boolean;
  readonly pivots: number;
  readonly pivotCount: number;
  readonly slots: number;
  readonly slotCount: number;
}

/** A node as its parent has it, and the indexes that it is for. */
interface Subtree {
  readonly encoded: bigint;
  readonly min: bigint;
  readonly max: bigint;
}

interface TreeSearch {
  readonly entries: bigint[];
  readonly visited: Set<bigint>;
  readonly note: (why: string) => void;
}

export class MapleTree {
  readonly #memory: KernelMemory;
  readonly #root: number;
  readonly #lastIndex: bigint;
  readonly #nodes: ReadonlyMap<number, NodeLayout>;

  /** @throws PtmonError `corrupt-input` where the BTF does not describe the tree */
  constructor(memory: KernelMemory, btf: Btf) {
    this.#memory = memory;
    this.#lastIndex = (1n << BigInt(memory.wordBytes * 8)) - 1n;
    this.#root = offsetsOf(btf, 'maple_tree', ['ma_root']).ma_root;
    const range = nodeLayout(btf, 'maple_range_64', false);
    const nodes: [name: string, layout: NodeLayout][] = [
      ['maple_leaf_64', { ...range, isLeaf: true }],
      ['maple_range_64', range],
      ['maple_arange_64', nodeLayout(btf, 'maple_arange_64', false)],
    ];
    this.#nodes = new Map(nodes.map(([name, layout]) => [nodeType(btf, name), layout]));
  }

  /**
   * The entries of the tree at `tree`, in the order of what they are for; empty ones and the tree's own marks left out.
   *
   * @param faults told where a part of the tree cannot be read
   * @throws PtmonError `not-fetched`
   */
  *entries(tree: bigint, faults: (why: string) => void): Steps<bigint[]> {
    const search: TreeSearch = {
      entries: [],
      visited: new Set(),
      note: (why) => faults(`a part of the maple tree at ${hex(tree)} cannot be read: ${why}`),
    };
    const root = attempt(() => this.#memory.pointer(tree + BigInt(this.#root)), search.note);
    if (root !== undefined && isNode(root))
      yield* this.#visit(search, { encoded: root, min: 0n, max: this.#lastIndex }, 0);
    else if (root !== undefined && isPointer(root)) search.entries.push(root);
    return search.entries;
  }

  *#visit(search: TreeSearch, { encoded, min, max }: Subtree, depth: number): Steps<void> {
    yield;
    const node = encoded & ~0xffn;
    const layout = this.#nodes.get(Number((encoded >> 3n) & 0xfn));
    const slots = attempt(() => {
      if (layout === undefined) throw new GuestFault(`${hex(encoded)} is not a node of a known kind`);
      if (search.visited.has(node) || depth === MAX_DEPTH)
        throw new GuestFault(`the node at ${hex(node)} is below itself`);
      search.visited.add(node);
      return this.#slots(node, layout, min, max);
    }, search.note);
    for (const { entry, from, to } of slots ?? []) {
      if (layout!.isLeaf) {
        if (isPointer(entry)) search.entries.push(entry);
      } else if (entry !== 0n) {
        yield* this.#visit(search, { encoded: entry, min: from, max: to }, depth + 1);
      }
    }
  }

  #slots(node: bigint, layout: NodeLayout, min: bigint, max: bigint) {
    const { wordBytes } = this.#memory;
    const bytes = this.#memory.bytes(
      node,
      Math.max(layout.slots + layout.slotCount * wordBytes, layout.pivots + layout.pivotCount * wordBytes),
    );
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const word = (at: number) => (wordBytes === 8 ? view.getBigUint64(at, true) : BigInt(view.getUint32(at, true)));
    const found: { readonly entry: bigint; readonly from: bigint; readonly to: bigint }[] = [];
    let from = min;
    for (let slot = 0; slot < layout.slotCount; slot++) {
      const pivot = slot < layout.pivotCount ? word(layout.pivots + slot * wordBytes) : max;
      // A pivot of 0 behind the first is not used: what is left is all in this slot.
      const isLast = pivot >= max || (pivot === 0n && slot > 0);
      const to = isLast ? max : pivot;
      if (to < from) throw new GuestFault(`the pivots of the node at ${hex(node)} are not in order`);
      found.push({ entry: word(layout.slots + slot * wordBytes), from, to });
      if (isLast) break;
      from = to + 1n;
    }
    return found;
  }
}

/** `xa_is_node`: so is the root marked, and only the root. */
function isNode(entry: bigint): boolean {
  return (entry & 3n) === 2n && entry > 4096n;
}

function isPointer(entry: bigint): boolean {
  return (entry & 3n) === 0n && entry !== 0n;
}

function nodeLayout(btf: Btf, structure: string, isLeaf: boolean): NodeLayout {
  const { pivot, slot } = offsetsOf(btf, structure, ['pivot', 'slot']);
  return {
    isLeaf,
    pivots: pivot,
    pivotCount: lengthOf(btf, structure, 'pivot'),
    slots: slot,
    slotCount: lengthOf(btf, structure, 'slot'),
  };
}

function lengthOf(btf: Btf, structure: string, member: string): number {
  const { type } = structureOf(btf, structure)!.members.get(member)!;
  const length = arrayLength(btf, plainType(btf, type));
  if (length > MAX_SLOTS) throw strange(`has ${length} elements in ${structure}.${member}`);
  return length;
}

function nodeType(btf: Btf, name: string): number {
  const value = enumeratorOf(btf, 'maple_type', name);
  if (value !== undefined) return value;
  throw strange(`has no ${name}`);
}

/** Whether this kernel has maple trees at all. */
export function hasMapleTrees(btf: Btf): boolean {
  return offsetOf(btf, 'mm_struct', 'mm_mt') !== undefined;
}
