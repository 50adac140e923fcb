/** What keys do to the state of `ptmon top`. */
import { sorted } from './top-columns.ts';
import { HEAD_LINES, type Terminal, type TopState } from './top-screen.ts';
import { SORT_KEYS } from './top-sorts.ts';

/** What is to be done beside drawing. */
export type Request = 'quit' | 'interrupt' | 'suspend' | 'open' | undefined;

export interface Outcome {
  readonly state: TopState;
  readonly request: Request;
}

export function press(state: TopState, key: string, { rows }: Terminal): Outcome {
  const only = (request: Request): Outcome => ({ state, request });
  const page = Math.max(1, rows - HEAD_LINES - 1);
  if (key === 'interrupt') return only('interrupt');
  if (key === 'suspend') return only('suspend');
  if (state.showsHelp) return become(state, { showsHelp: false });
  if (key === 'q') return only('quit');
  if (key === '?' || key === 'h') return become(state, { showsHelp: true, scroll: 0 });
  if (state.opened !== undefined) {
    if (key === 'escape' || key === 'backspace' || key === 'left')
      return become(state, { opened: undefined, scroll: 0 });
    const last = Math.max(0, state.opened.areas.length - page);
    const to = moved(state.scroll, key, page, last);
    return to === undefined ? only(undefined) : become(state, { scroll: to });
  }
  const sort = SORT_KEYS[key];
  if (sort !== undefined) return become(state, { sort, scroll: 0 });
  if (key === 'enter') return state.selected === undefined ? only(undefined) : only('open');
  const order = sorted(state.processes, state.sort);
  const at = order.findIndex(({ pid }) => pid === state.selected);
  const to = moved(Math.max(0, at), key, page, order.length - 1);
  if (to === undefined) return only(undefined);
  return become(state, { selected: order[to]?.pid, scroll: scrolledTo(to, state.scroll, page) });
}

/** Where a key leads to; undefined for others. */
function moved(at: number, key: string, page: number, last: number): number | undefined {
  const by: Readonly<Record<string, number>> = {
    up: -1,
    down: 1,
    'page-up': -page,
    'page-down': page,
    home: -Infinity,
    end: Infinity,
  };
  const step = by[key];
  return step === undefined ? undefined : Math.max(0, Math.min(last, at + step));
}

/** Scrolls as little as shows the row. */
function scrolledTo(row: number, scroll: number, page: number): number {
  if (row < scroll) return row;
  return row >= scroll + page ? row - page + 1 : scroll;
}

function become(state: TopState, change: Partial<TopState>): Outcome {
  return { state: { ...state, ...change }, request: undefined };
}
