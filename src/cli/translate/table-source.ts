/** Where a translation reads page tables: a live guest, or a picture of one. */
import type { PhysicalMemory } from '../../core/memory/physical-memory.ts';
import type { Paging } from '../../core/paging/format.ts';
import type { RemoteFetch } from '../../driver/driver.ts';

export interface TableSource {
  readonly paging: Paging;
  /** CR3 of the vCPU that was asked for. */
  readonly cr3: bigint;
  readonly memory: PhysicalMemory;
  /** Where memory must be fetched before it can be read. */
  readonly remote?: RemoteFetch;
  /** In a line for people: what is read, and how. */
  readonly description: string;
  /** Lets go of the source. @throws PtmonError where a guest may have been left standing still */
  close(): Promise<void>;
}
