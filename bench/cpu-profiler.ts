/**
 * V8's sampling profiler, switched on and off: the parts become one profile, so that what lies between them (building
 * tables, collecting garbage) is not in it.
 */
import { relative } from 'node:path';
import { type Profiler, Session } from 'node:inspector';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

/** Microseconds between samples. */
const INTERVAL = 200;

const ROOT: Profiler.ProfileNode = {
  id: 1,
  callFrame: { functionName: '(root)', scriptId: '0', url: '', lineNumber: -1, columnNumber: -1 },
  hitCount: 0,
  children: [],
};

export interface HotFunction {
  /** Name and place. */
  readonly name: string;
  /** Of all samples, 0 to 1. */
  readonly share: number;
}

export class CpuProfiler {
  readonly #session = new Session();
  readonly profile: Profiler.Profile = {
    nodes: [{ ...ROOT, children: [] }],
    startTime: 0,
    endTime: 0,
    samples: [],
    timeDeltas: [],
  };

  constructor() {
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.setSamplingInterval', { interval: INTERVAL });
  }

  start(): void {
    this.#session.post('Profiler.start');
  }

  stop(): void {
    // The answer comes before the call returns: the session is with this very thread.
    this.#session.post('Profiler.stop', (error, { profile }) => {
      if (error) throw error;
      this.#append(profile);
    });
  }

  /** The functions with the most samples of their own. */
  hottest(count: number): HotFunction[] {
    const { nodes, samples = [] } = this.profile;
    const nameOf = new Map(nodes.map((node) => [node.id, nameOfFrame(node.callFrame)]));
    const hits = new Map<string, number>();
    for (const sample of samples) {
      const name = nameOf.get(sample)!;
      hits.set(name, (hits.get(name) ?? 0) + 1);
    }
    const sorted = [...hits].toSorted(([, a], [, b]) => b - a);
    return sorted.slice(0, count).map(([name, own]) => ({ name, share: own / samples.length }));
  }

  /** A part's nodes get numbers of their own; its root becomes the one root. */
  #append(part: Profiler.Profile): void {
    const { profile } = this;
    const partRoot = part.nodes[0]!;
    const offset = profile.nodes.length;
    const numberOf = (id: number) => (id === partRoot.id ? ROOT.id : id + offset);
    profile.nodes[0]!.children!.push(...(partRoot.children ?? []).map(numberOf));
    for (const node of part.nodes.slice(1)) {
      profile.nodes.push({
        ...node,
        id: numberOf(node.id),
        ...(node.children && { children: node.children.map(numberOf) }),
      });
    }
    profile.samples!.push(...part.samples!.map(numberOf));
    profile.timeDeltas!.push(...part.timeDeltas!);
    profile.endTime += part.timeDeltas!.reduce((sum, delta) => sum + delta, 0);
  }
}

/** `process  src/core/monitor/batch/plan.js:120` */
function nameOfFrame({ functionName, url, lineNumber }: Profiler.ProfileNode['callFrame']): string {
  const name = functionName === '' ? '(anonymous)' : functionName;
  if (!url.startsWith('file:')) return name;
  return `${name}  ${relative(process.cwd(), fileURLToPath(url))}:${lineNumber + 1}`;
}
