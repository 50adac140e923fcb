/** Runs a program on a machine, with a monitor and the oracle side by side, and compares them after every operation. */
import { inspectAlways, inspectCounts, inspectDump, inspectProtections, inspectTruth, inspectWalk } from './inspect.ts';
import type { SourceCall } from './fault-at.ts';
import { Mismatch, same, text } from './mismatch.ts';
import type { Watched } from './naive-monitor.ts';
import type { Op, Program } from './program.ts';
import { Random } from './random.ts';
import { cr3Of, release, watch } from './requests.ts';
import { type RunOptions, Scene } from './scene.ts';
import { race, trapWithin, unseen, write } from './traffic.ts';

export interface RunResult {
  readonly ops: number;
  readonly events: number;
  /** Addresses that were compared, over the whole run: what the oracle's work is made of. */
  readonly work: number;
  /** Every answer of the monitor, as text: two runs of one program give the same (rule E7). */
  readonly log: readonly string[];
  /** How often each call to the monitor asked the source for what. */
  readonly sourceCalls: readonly Readonly<Record<SourceCall, number>>[];
}

/** @throws Mismatch where the monitor and the oracle disagree */
export function runProgram(program: Program, options: RunOptions): RunResult {
  const run = new Run(program, options);
  program.ops.forEach((op, index) => run.step(`op ${index} ${text(op)}`, index, () => run.exec(op)));
  run.finish();
  const { events, log, attempts } = run.scene;
  return { ops: program.ops.length, events, work: run.work, log, sourceCalls: attempts.sourceCalls };
}

class Run {
  readonly scene: Scene;
  work = 0;

  constructor(program: Program, options: RunOptions) {
    this.scene = new Scene(program, options);
  }

  step(name: string, index: number, act: () => void): void {
    try {
      this.scene.machine.fetched?.clear();
      act();
      this.#inspect(index);
    } catch (error) {
      const mismatch = error instanceof Mismatch ? error : new Mismatch('C8', String((error as Error).stack));
      throw mismatch.at(`at ${name}`);
    }
  }

  exec(op: Op): void {
    const { scene } = this;
    const { machine, guest, oracle, subject, attempts } = scene;
    switch (op.k) {
      case 'land':
        return machine.land(op.c, op.n);
      case 'commit':
        return scene.commit(op.c);
      case 'dma':
        // The source says that something was missed, and everything is compared.
        if (attempts.mayFailForLong) return;
        unseen(scene, [[guest.slotPa(op.f, op.s), guest.bytes(guest.value(op.v))]]);
        return scene.program.source === 'poll' ? undefined : this.exec({ k: 'resync' });
      case 'use':
        for (const [pa, bytes] of guest.usedBits(op)) machine.poke(pa, bytes);
        return;
      case 'race':
        return race(scene, op);
      case 'within':
        return trapWithin(scene, op);
      case 'monitor':
      case 'range':
        return watch(scene, op);
      case 'unmonitor':
      case 'unrange':
      case 'force':
        return release(scene, op);
      case 'unview':
        return scene.done(
          () => subject.unmonitorView(op.g),
          () => oracle.unmonitorView(op.g),
        );
      case 'unall':
        return scene.done(
          () => subject.unmonitorAll(),
          () => oracle.unmonitorAll(),
        );
      case 'gone': {
        const root = guest.root(op.r);
        const call = () => subject.rootGone(cr3Of(scene, root, op.x), op.g);
        return scene.say(call, () => oracle.rootGone(root, op.g), null);
      }
      case 'resync':
        if (op.g === undefined) scene.missed = false;
        return scene.say(
          () => subject.resync(op.g),
          () => oracle.resync(op.g),
          null,
        );
      case 'newview':
        return this.#addView(op.g);
      case 'killview':
        return this.#destroyView(op.g);
      default:
        for (const each of guest.writesOf(op)) write(scene, each, { vcpu: op.c, preferredView: op.g ?? 0, when: op.w });
    }
  }

  /** Everything lands, everything is released in some order, and nothing remains (rule R3). */
  finish(): void {
    const { program, attempts, machine, oracle, subject } = this.scene;
    const random = new Random(program.end);
    attempts.recover();
    const land = () => {
      for (const vcpu of machine.busyVcpus()) {
        this.step(`final commit of vCPU ${vcpu}`, 0, () => this.scene.commit(vcpu));
      }
    };
    if (!random.oneIn(3)) {
      land();
      if (this.scene.missed) this.step('final resync', 0, () => this.exec({ k: 'resync' }));
    }
    for (let count = 1; oracle.watched.size > 0; count++) {
      const op = this.#anyRelease(random, random.pick([...oracle.watched.values()]));
      this.step(`release ${text(op)}`, count, () => this.exec(op));
    }
    attempts.recover();
    this.step('the end', 1, () => this.exec({ k: 'resync' }));
    const { addresses, ranges, tables, marks } = subject.dump();
    same('R3', [addresses, ranges, tables, marks], [[], [], [], []], () => 'what remains');
    same('R3', machine.changedAccess(), [], () => 'protections that remain');
    land();
  }

  #inspect(index: number): void {
    const { scene } = this;
    const { program, machine, oracle, subject, attempts } = scene;
    const protects = program.source === 'trap';
    const settled = scene.isSettled;
    const counted = settled && !oracle.watchesGoneViews();
    this.work += oracle.watched.size;
    if (counted) scene.overlapped = false;
    if (settled) inspectTruth(machine, oracle, protects);
    if (attempts.isBeforeFault) return;

    const exact = !scene.overlapped;
    const kinds = program.kinds ?? [];
    const told = { pageSize: exact || kinds.includes('restructure'), rights: exact || kinds.includes('protection') };
    inspectAlways(subject, oracle, told);
    if (counted) inspectCounts(subject, oracle);
    if (settled && protects) inspectProtections(machine, oracle, program, attempts.unrestored);
    if (index % 4 === 0) inspectDump(scene, program.source, { settled: counted, exact });
    if (index % 4 === 1) this.#inspectAnyAddress(index);
  }

  /** Watched or not: `explain` and `state` answer. */
  #inspectAnyAddress(index: number): void {
    const { guest, oracle, subject, attempts } = this.scene;
    const [view, root, va] = [index % 3, guest.root(index >> 2), guest.va(index >> 3)];
    if (this.scene.areOutside(root, [va])) return;
    const explained = attempts.ask(() => subject.explain({ view, root, va }));
    inspectWalk(explained.walk, oracle.walk(root, va));
    const state = subject.state({ view, root, va });
    same('C1', explained.state, state, () => 'the state that explain shows');
    const watched = oracle.get(view, root, va) !== undefined;
    same('R1', state !== undefined, watched, () => `whether 0x${va.toString(16)} is watched`);
  }

  #addView(view: number): void {
    const { machine, oracle, subject, attempts } = this.scene;
    if (machine.hasView(view) || [...oracle.watched.values()].some((one) => one.view === view)) return;
    // A restoration that waits for its next chance belongs to the view that is gone: before its number is used again, it is let go.
    const isOwed = () => [...attempts.unrestored].some((key) => key.startsWith(`${view}:`));
    if (isOwed()) attempts.change(() => subject.unmonitorView(view));
    if (isOwed()) return;
    oracle.goneViews.delete(view);
    machine.addView(view);
  }

  #destroyView(view: number): void {
    if (this.scene.program.source !== 'trap') return;
    this.scene.machine.removeView(view);
    this.scene.oracle.goneViews.add(view);
    this.scene.noteOverlap();
  }

  #anyRelease(random: Random, { view, root, va, single, range }: Watched): Op {
    const { program, guest } = this.scene;
    const r = program.roots.findIndex((_, index) => guest.root(index) === root);
    const place = { g: view, r, a: `0x${va.toString(16)}` };
    const tags = [...single.tags.keys(), ...range.tags.keys()];
    const tag = tags.length > 0 && random.oneIn(2) ? { t: random.pick(tags) } : {};
    switch (random.weighted({ unmonitor: 6, unrange: 4, force: 3, unview: 1, gone: 1 })) {
      case 'unmonitor':
        return { k: 'unmonitor', ...place, ...tag };
      case 'unrange':
        return { k: 'unrange', ...place, n: 1 + random.below(random.pick([4096, 40_000, 400_000])), ...tag };
      case 'force':
        return { k: 'force', ...place };
      case 'unview':
        return { k: 'unview', g: view };
      case 'gone':
        return { k: 'gone', r };
    }
  }
}
