/** Views: numbered sets of second-level permissions, one of each frame. View 0 always exists. */
import { hex } from '../../core/address/va.ts';
import { PtmonError } from '../../core/error.ts';
import { ACCESS_ALL, ACCESS_WRITE, type PageAccess, type PageProtection } from '../../core/memory/page-access.ts';

export class Views implements PageProtection {
  /** By view: the frames that are not fully accessible. */
  readonly #restricted = new Map<number, Map<number, PageAccess>>([[0, new Map()]]);
  #next = 1;

  /** The views that exist, in the order of their creation. */
  get numbers(): readonly number[] {
    return [...this.#restricted.keys()];
  }

  has(view: number): boolean {
    return this.#restricted.has(view);
  }

  /** A new view in which everything is allowed; its number was never used before. */
  create(): number {
    const view = this.#next++;
    this.#restricted.set(view, new Map());
    return view;
  }

  /** @throws PtmonError `no-such-view`; `bad-argument` for view 0, which cannot go */
  destroy(view: number): void {
    this.#of(view);
    if (view === 0) throw new PtmonError('bad-argument', 'view 0 cannot be destroyed', { view });
    this.#restricted.delete(view);
  }

  getAccess(view: number, gfn: number): PageAccess {
    return this.#of(view).get(gfn) ?? ACCESS_ALL;
  }

  /** @throws PtmonError `no-such-view`; `bad-argument` for an access that is not 0 to 7 */
  setAccess(view: number, gfn: number, access: PageAccess): void {
    const restricted = this.#of(view);
    if (!Number.isInteger(access) || access < 0 || access > ACCESS_ALL) {
      throw new PtmonError('bad-argument', `access ${access} of frame ${hex(gfn)} is not 0 to ${ACCESS_ALL}`, {
        view,
        gfn,
      });
    }
    if (access === ACCESS_ALL) restricted.delete(gfn);
    else restricted.set(gfn, access);
  }

  /** Whether a write to any frame from `first` to `last` traps in this view. A view that is gone restricts nothing. */
  traps(view: number, first: number, last: number): boolean {
    const restricted = this.#restricted.get(view);
    if (restricted === undefined || restricted.size === 0) return false;
    for (let gfn = first; gfn <= last; gfn++) {
      const access = restricted.get(gfn);
      if (access !== undefined && (access & ACCESS_WRITE) === 0) return true;
    }
    return false;
  }

  /** Lifts every restriction in every view. */
  clear(): void {
    for (const restricted of this.#restricted.values()) restricted.clear();
  }

  #of(view: number): Map<number, PageAccess> {
    const restricted = this.#restricted.get(view);
    if (restricted === undefined) throw new PtmonError('no-such-view', `view ${view} does not exist`, { view });
    return restricted;
  }
}
