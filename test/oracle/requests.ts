/** What the monitor's user asks for: to watch, and to watch no longer. */
import type { Op } from './program.ts';
import { pagesOf, type Scene } from './scene.ts';
import type { Subject } from './subject.ts';

/** More pages than this in one range, and the oracle is too slow: the operation is skipped. */
const MAX_PAGES = 1100;

type WatchOp = Op & { readonly k: 'monitor' | 'range' };
type ReleaseOp = Op & { readonly k: 'unmonitor' | 'unrange' | 'force' };

export function watch(scene: Scene, op: WatchOp): void {
  const { oracle, attempts } = scene;
  const { view, root, va, request } = requestOf(scene, op);
  const pages = op.k === 'range' ? pagesOf(va, op.n, MAX_PAGES) : [va];
  if (pages.length > MAX_PAGES) return;
  const call = () => callWatch(scene.subject, op, request);
  if (scene.areOutside(root, pages)) return attempts.refused('T3', ['non-canonical', 'bad-argument'], call);
  if (scene.program.source === 'trap' && !scene.machine.hasView(view)) {
    // Nothing to protect, or protected since before the view went: either answer is right.
    if ([...oracle.watched.values()].some((one) => one.view === view)) return;
    if (pages.some((page) => oracle.walk(root, page).entries.length === 0)) return;
    return attempts.refused('C9', ['no-such-view'], call);
  }
  scene.done(call, () => {
    if (op.k === 'range') oracle.monitorRange(view, root, pages, { tag: op.t, runs: op.runs === true });
    else oracle.monitor(view, root, va, op.t);
  });
}

export function release(scene: Scene, op: ReleaseOp): void {
  const { oracle, subject } = scene;
  const { view, root, va, request } = requestOf(scene, op);
  const pages = op.k === 'unrange' ? pagesOf(va, op.n, MAX_PAGES) : [va];
  if (pages.length > MAX_PAGES || scene.areOutside(root, pages)) return;
  switch (op.k) {
    case 'unrange':
      return scene.done(
        () => subject.unmonitorRange({ ...request, byteLength: op.n }),
        () => oracle.unmonitorRange(view, root, pages, op.t),
      );
    case 'force':
      return scene.done(
        () => subject.unmonitorByForce({ view, root: request.root, va }),
        () => oracle.unmonitorByForce(view, root, va),
      );
    case 'unmonitor':
      return scene.done(
        () => subject.unmonitor(request),
        () => oracle.unmonitor(view, root, va, op.t),
      );
  }
}

/** A CR3 value that names the root (rule T2). */
export function cr3Of({ program }: Scene, root: bigint, dress = 0): bigint | number {
  const low = program.mode === 'pae' ? 0x15n : 0xabcn;
  const value = root | [0n, low, 1n << 63n, (7n << 61n) | low][dress % 4]!;
  return value < 1n << 53n && dress % 4 !== 1 ? Number(value) : value;
}

function callWatch(subject: Subject, op: WatchOp, request: Parameters<Subject['monitor']>[0]): void {
  if (op.k === 'monitor') return subject.monitor(request);
  subject.monitorRange({ ...request, byteLength: op.n, ...(op.runs === undefined ? {} : { runs: op.runs }) });
}

function requestOf(scene: Scene, op: WatchOp | ReleaseOp) {
  const [root, va] = [scene.guest.root(op.r), scene.guest.va(op.a)];
  const view = op.g === 0 ? {} : { view: op.g };
  const tag = op.t === undefined ? {} : { tag: op.t };
  return { view: op.g, root, va, request: { ...view, root: cr3Of(scene, root, op.x), va, ...tag } };
}
