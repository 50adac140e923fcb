/** Second-level (EPT/NPT) permissions of one frame in one view: a sum of these bits. */
export const ACCESS_READ = 1;
export const ACCESS_WRITE = 2;
export const ACCESS_EXECUTE = 4;
export const ACCESS_ALL = 7;

/** 0 (none) to 7 (read, write and execute). */
export type PageAccess = number;

/**
 * Queries and sets second-level permissions. A write to a frame whose access lacks `ACCESS_WRITE` traps and is reported before
 * it is in memory. Sources that find changes by comparing memory have none.
 */
export interface PageProtection {
  /** @throws PtmonError `no-such-view` where the view does not exist */
  getAccess(view: number, gfn: number): PageAccess;
  /**
   * In force when the call returns, or at the latest before a vCPU runs again. Writes that trap meanwhile may be reported from
   * within the call.
   * @throws PtmonError `no-such-view` where the view does not exist; any other error is a failing source. The access may then be
   *   the old one or the new one: the monitor asks `getAccess`, and sets the old one again where it must
   * @param level of the table in the frame, for a source that itself follows the entries of upper tables
   */
  setAccess(view: number, gfn: number, access: PageAccess, level?: number): void;
}
