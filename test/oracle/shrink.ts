/** Makes a failing program smaller for as long as it fails under the same rule: first fewer operations, then simpler ones. */
import { Mismatch } from './mismatch.ts';
import type { Op, Program } from './program.ts';

export interface Shrunk {
  readonly program: Program;
  readonly failure: Mismatch;
}

/** @param fails runs a program, and answers with what went wrong */
export function shrink(
  program: Program,
  failure: Mismatch,
  fails: (program: Program) => Mismatch | undefined,
  timeoutMs = 20_000,
): Shrunk {
  const deadline = Date.now() + timeoutMs;
  let best: Shrunk = { program, failure };
  const better = (candidate: Program): boolean => {
    const found = Date.now() < deadline ? fails(candidate) : undefined;
    if (found === undefined || found.rule !== failure.rule) return false;
    best = { program: candidate, failure: found };
    return true;
  };
  for (let size = ''; size !== JSON.stringify(best.program) && Date.now() < deadline; ) {
    size = JSON.stringify(best.program);
    dropOps(() => best.program, better);
    simplifyOps(() => best.program, better);
    simplifyHead(() => best.program, better);
  }
  return best;
}

function dropOps(current: () => Program, better: (candidate: Program) => boolean): void {
  for (let chunk = Math.ceil(current().ops.length / 2); chunk >= 1; chunk = chunk === 1 ? 0 : Math.ceil(chunk / 2)) {
    for (let at = current().ops.length - chunk; at >= -chunk; at -= chunk) {
      const { ops } = current();
      const from = Math.max(0, at);
      const rest = [...ops.slice(0, from), ...ops.slice(from + chunk)];
      if (rest.length < ops.length) better({ ...current(), ops: rest });
    }
  }
}

/** Optional fields go, numbers become the smallest that still fails. */
const OPTIONAL = ['g', 't', 'x', 'up', 'dirty', 'runs', 'f'];
const SMALLEST: Readonly<Record<string, readonly unknown[]>> = {
  w: [2, 1],
  c: [0, 1],
  g: [0, 1],
  r: [0, 1],
  a: [0, 1, 2],
  f: [0, 1, 2, 3],
  s: [0, 1],
  lv: [1, 2, 3],
  n: [1, 8, 4096, 8192],
  o: [0],
  skip: [0],
  step: [0, 1],
  d: [0],
  bits: [1, 2],
};

function simplifyOps(current: () => Program, better: (candidate: Program) => boolean): void {
  for (let index = 0; index < current().ops.length; index++) {
    const replace = (op: object): boolean => {
      const ops = current().ops.with(index, op as Op);
      return JSON.stringify(op) !== JSON.stringify(current().ops[index]) && better({ ...current(), ops });
    };
    const op = (): Record<string, unknown> => ({ ...current().ops[index] }) as Record<string, unknown>;
    const watches = ['monitor', 'unmonitor', 'force', 'range', 'unrange', 'unview', 'newview', 'killview'].includes(
      String(op()['k']),
    );
    for (const name of OPTIONAL) {
      if (!(name in op()) || (name === 'g' && watches) || (name === 'f' && op()['k'] !== 'within')) continue;
      const { [name]: _, ...rest } = op();
      replace(rest);
    }
    for (const [name, values] of Object.entries(SMALLEST)) {
      const now = op()[name];
      if (typeof now !== 'number') continue;
      for (const value of values) if (value === now || replace({ ...op(), [name]: value })) break;
    }
    const { v, t } = op();
    if (Array.isArray(t))
      for (let i = 0; i < t.length; i++) if (t.length > 1) replace({ ...op(), t: t.filter((_, at) => at !== i) });
    for (const simple of ['0x0', [0, 7], [1, 7], [0, 0x87]]) {
      if (v !== undefined && op()['k'] !== 'wide' && replace({ ...op(), v: simple })) break;
    }
    if (op()['k'] === 'wide')
      for (let i = (v as unknown[]).length - 1; i > 0; i--) replace({ ...op(), v: (v as unknown[]).slice(0, i) });
  }
}

function simplifyHead(current: () => Program, better: (candidate: Program) => boolean): void {
  for (const name of [
    'physicalAddressBits',
    'encryptionMask',
    'noExecuteEnable',
    'pageSizeExtensions',
    'vendor',
    'gigabytePages',
    'kinds',
    'access',
  ] as const) {
    const { [name]: had, ...rest } = current();
    if (had !== undefined) better(rest);
  }
  if (current().views > 1) better({ ...current(), views: current().views - 1 });
  if (current().roots.length > 1) better({ ...current(), roots: current().roots.slice(0, -1) });
  if (current().vas.length > 1) better({ ...current(), vas: current().vas.slice(0, -1) });
  for (const end of [0, 1, 2, 3]) if (current().end > 3) better({ ...current(), end });
}
