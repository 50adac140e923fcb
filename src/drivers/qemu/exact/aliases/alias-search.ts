/** Finds where the guest can write to its page tables, and finds out when there are more such places. */
import { PtmonError } from '../../../../core/error.ts';
import type { PhysicalMemory } from '../../../../core/memory/physical-memory.ts';
import { rootOf } from '../../../../core/paging/format.ts';
import type { RegisterAccess, RemoteFetch } from '../../../../driver/driver.ts';
import { pagingOf } from '../../../../driver/paging.ts';
import { retry } from '../../../../driver/retry.ts';
import { WritableAliases } from './writable-aliases.ts';

/** From one search for new aliases to the next, at least. */
const SEARCH_INTERVAL_MS = 1000;
/** Of the time, at most. */
const SEARCH_SHARE = 0.01;
/** One at the end of a watch may take so long, while the guest is stopped. */
const LAST_SEARCH_MS = 200;

export interface AliasSearchParts {
  readonly memory: PhysicalMemory;
  readonly remote: RemoteFetch | undefined;
  readonly registers: RegisterAccess;
  /** Reads the registers anew. The guest must be stopped. */
  readonly refreshRegisters: () => Promise<void>;
}

export class AliasSearch {
  readonly #parts: AliasSearchParts;
  #found: WritableAliases | undefined;
  #dueMs = performance.now() + SEARCH_INTERVAL_MS;
  #durationMs = 0;

  constructor(parts: AliasSearchParts) {
    this.#parts = parts;
  }

  /** Those that are known. @throws PtmonError `source-unavailable` while there are none */
  get known(): WritableAliases {
    if (this.#found !== undefined) return this.#found;
    const off = 'paging is off on every vCPU (CR0.PG is 0): there is no page table to watch yet. Let the guest boot';
    throw new PtmonError('source-unavailable', off);
  }

  /** The best that the vCPUs' present roots have to offer; the aliases from before where they are no worse. @throws as `known` */
  async search(): Promise<WritableAliases> {
    const { memory, remote, registers, refreshRegisters } = this.#parts;
    await refreshRegisters();
    for (let vcpu = 0; vcpu < registers.vcpuCount; vcpu++) {
      const paging = pagingOf(registers, vcpu);
      if (paging === undefined) continue;
      const { cr0, cr3 } = registers.readRegisters(vcpu);
      const root = rootOf(paging, cr3);
      const found = await retry(() => WritableAliases.of(paging, memory, { root, cr0 }), { remote });
      if (found.isComplete || this.#found === undefined) this.#found = found;
      if (found.isComplete) break;
    }
    return this.known;
  }

  /**
   * Whether to search again, which takes a hundredth of the time at most: the guest may map a table once more.
   *
   * @param isLast the watch ends: what is not found now is not reported
   */
  isDue(isLast: boolean, now = performance.now()): boolean {
    if (this.#found === undefined) return false;
    return now >= this.#dueMs || (isLast && this.#durationMs < LAST_SEARCH_MS);
  }

  /** @throws as `known` */
  async searchAgain(): Promise<void> {
    const startMs = performance.now();
    await this.search();
    const endMs = performance.now();
    this.#durationMs = endMs - startMs;
    this.#dueMs = endMs + Math.max(SEARCH_INTERVAL_MS, this.#durationMs / SEARCH_SHARE);
  }
}
