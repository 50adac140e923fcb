/** A dump as a scene: the processes of its Linux and the kernel's half, or the one address space that is known. */
import { hex, vpnOf } from '../../core/address/va.ts';
import { PtmonError } from '../../core/error.ts';
import type { Guest, Moment } from '../../guest/index.ts';
import { mapNameOf } from '../../linux/index.ts';
import { arrangeAreas, unnamed } from '../picture/areas.ts';
import { leafPages, rightsText, sizeName } from '../picture/look.ts';
import { differences, type Run } from '../picture/runs.ts';
import type { Area, Change, Scene, SceneEvent, Space } from '../picture/scene.ts';
import { areasOf, processName, sampleProcesses } from './process-sample.ts';
import { readRuns } from './space-runs.ts';

/** Which of its address spaces. */
export interface SpaceChoice {
  readonly pid?: number;
  readonly comm?: string;
  /** A CR3 value. */
  readonly root?: bigint;
}

/** Page numbers of 64 bits end here. */
const END = 2 ** 52;
/** The kernel's half of 64-bit paging. */
const UPPER_HALF = 2 ** 51;

/** @throws PtmonError `bad-argument` where no process fits the choice; as `Guest.paused` */
export function snapshotScene(guest: Guest, choice: SpaceChoice = {}): Promise<Scene> {
  return guest.paused(async (moment) => {
    const { spaces, notes } = await spacesOf(moment, choice);
    return {
      kind: 'still',
      source: guest.name,
      title: 'Memory at one moment',
      mode: moment.paging.mode.name,
      spaces,
      steps: [],
      ram: [],
      endMs: 0,
      notes,
    };
  });
}

async function spacesOf(moment: Moment, choice: SpaceChoice): Promise<Pick<Scene, 'spaces' | 'notes'>> {
  if (choice.root !== undefined)
    return { spaces: [await wholeSpace(moment, moment.memoryOf(choice.root).root)], notes: [] };
  const linux = await moment.linux().catch((error: unknown) => {
    if (!(error instanceof PtmonError) || choice.pid !== undefined || choice.comm !== undefined) throw error;
    return error;
  });
  if (linux instanceof PtmonError) {
    const space = await wholeSpace(moment, moment.currentRoot());
    return { spaces: [space], notes: [`No Linux in it, so no processes and no names of areas: ${linux.message}`] };
  }
  const sampled = await sampleProcesses(moment);
  const { pid, comm } = choice;
  const wanted = sampled.filter(
    ({ process }) => (pid === undefined || process.pid === pid) && (comm === undefined || process.command === comm),
  );
  if (wanted.length === 0) {
    const names = sampled.map(({ process }) => processName(process)).join(', ');
    const what = pid === undefined ? `named "${comm}"` : pid;
    throw new PtmonError('bad-argument', `the guest has no process ${what}; it has ${names}`);
  }
  const spaces: Space[] = [];
  for (const { process, root, runs } of wanted) {
    const areas = process.mm === null ? [] : ((await areasOf(linux, process.mm)) ?? []);
    spaces.push({ root, name: processName(process), pid: process.pid, areas: withOthers(areas, runs), runs });
  }
  if (pid !== undefined || comm !== undefined || !moment.paging.mode.canonical) return { spaces, notes: [] };
  const kernel = await readRuns((options) => moment.pieces(wanted[0]!.root, options), { from: UPPER_HALF, to: END });
  const { areas } = await linux.names();
  const nameAt = (vpn: number) =>
    areas.find(({ start, end }) => vpn >= vpnOf(start) && vpn <= vpnOf(end - 1n))?.name ?? '';
  const named = kernel.map(([vpn, pages]) => ({ vpn, pages, name: nameAt(vpn) }));
  spaces.push({ root: wanted[0]!.root, name: 'kernel', pid: null, areas: arrangeAreas(named), runs: kernel });
  return { spaces, notes: [] };
}

async function wholeSpace(moment: Moment, root: number): Promise<Space> {
  const runs = await readRuns((options) => moment.pieces(root, options), { from: 0, to: END });
  return { root, name: `root ${hex(root)}`, pid: null, areas: arrangeAreas(unnamed(runs)), runs };
}

/** Areas of Linux, and blocks of the pages that are in none of them. */
function withOthers(areas: readonly Area[], runs: readonly Run[]): Area[] {
  const isInside = (vpn: number) => areas.some((area) => vpn >= area.vpn && vpn < area.vpn + area.pages);
  const others = arrangeAreas(unnamed(runs.filter(([vpn]) => !isInside(vpn))));
  return [...areas, ...others].sort((a, b) => a.vpn - b.vpn);
}

/** Differences that the list of events shows; the picture shows all. */
const MAX_EVENTS = 5000;

/** Two dumps as one scene: spaces of one name in both are compared, from the first to the second. */
export function comparisonScene(a: Scene, b: Scene): Scene {
  const spaces: Space[] = [];
  const changes: Change[] = [];
  const events: SceneEvent[] = [];
  const names = [...new Set([...a.spaces, ...b.spaces].map(({ name }) => name))];
  // Of two single address spaces the roots may differ.
  const isPair = a.spaces.length === 1 && b.spaces.length === 1;
  let omitted = 0;
  for (const name of isPair ? [a.spaces[0]!.name] : names) {
    const was = isPair ? a.spaces[0] : a.spaces.find((space) => space.name === name);
    const is = isPair ? b.spaces[0] : b.spaces.find((space) => space.name === name);
    const space = (is ?? was)!;
    const areas = arrangeAreas([...(was?.areas ?? []), ...(is?.areas ?? [])]);
    const index = spaces.push({ ...space, areas, runs: was?.runs ?? [] }) - 1;
    for (const { vpn, pages, before, after } of differences(was?.runs ?? [], is?.runs ?? [])) {
      changes.push([index, vpn, pages, after === undefined ? [] : [after]]);
      const found = differenceEvents({ index, who: ownerOf(name, areas, vpn), vpn, pages, before, after });
      if (events.length + found.length <= MAX_EVENTS) events.push(...found);
      else omitted += found.length;
    }
  }
  return {
    ...b,
    kind: 'comparison',
    source: `${a.source} → ${b.source}`,
    title: 'What changed from the first to the second',
    spaces,
    steps: [{ timeMs: 1, changes, events, ...(omitted > 0 && { omitted }), note: `now as in ${b.source}` }],
    endMs: 1,
    notes: [...new Set([...a.notes, ...b.notes])],
  };
}

/** `nginx[412]:heap`, as events of a live guest name it. */
function ownerOf(space: string, areas: readonly Area[], vpn: number): string {
  const { name = '' } = areas.find((area) => vpn >= area.vpn && vpn < area.vpn + area.pages) ?? {};
  return name === '' ? space : `${space}:${mapNameOf(name)}`;
}

interface Differing {
  readonly index: number;
  readonly who: string;
  readonly vpn: number;
  readonly pages: number;
  readonly before: Run | undefined;
  readonly after: Run | undefined;
}

/** As a monitor reports them: a page-out before the page-in of the same pages. */
function differenceEvents({ index, who, vpn, pages, before, after }: Differing): SceneEvent[] {
  const base = { space: index, vpn, pages, who, vcpu: null };
  const was = before !== undefined && before[3] >= 0 ? before : undefined;
  const is = after !== undefined && after[3] >= 0 ? after : undefined;
  const isMoved = was?.[3] !== is?.[3];
  const event = (kind: SceneEvent['kind'], [, , look, gfn]: Run, why: string): SceneEvent => ({
    ...base,
    kind,
    gfn,
    pageSize: leafPages(look) * 4096,
    why,
  });
  const moved = was !== undefined && is !== undefined ? 'another frame' : '';
  if (isMoved) {
    const gone = after !== undefined && is === undefined ? 'swapped out' : moved;
    return [...(was ? [event('page-out', was, gone)] : []), ...(is ? [event('page-in', is, moved)] : [])];
  }
  if (was === undefined || is === undefined) return [];
  const rights = `${rightsText(was[2])} → ${rightsText(is[2])}`;
  return [
    ...(leafPages(was[2]) === leafPages(is[2]) ? [] : [event('restructure', is, `was ${sizeName(was[2])}`)]),
    ...(rightsText(was[2]) === rightsText(is[2]) ? [] : [event('protection', is, rights)]),
  ];
}
