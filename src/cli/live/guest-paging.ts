/** A live guest's paging, by its registers. */
import { makePaging, type Paging } from '../../core/paging/format.ts';
import { pagingFromRegisters, type PagingControl } from '../../core/paging/registers.ts';

/** Undefined while paging is off. */
export function guestPaging(registers: PagingControl, physicalAddressBits?: number): Paging | undefined {
  const found = pagingFromRegisters(registers);
  return found && makePaging({ ...found, ...(physicalAddressBits !== undefined && { physicalAddressBits }) });
}
