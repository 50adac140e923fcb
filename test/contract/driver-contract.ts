/**
 * What every driver promises, whatever its source: one suite, called by each driver's own tests with a way to open one.
 * A capability that a driver does not have is skipped by name, never silently.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { PtmonError } from '../../src/core/error.ts';
import { ACCESS_WRITE } from '../../src/core/memory/page-access.ts';
import { READ_NO_MEMORY, READ_NOT_FETCHED, READ_OK } from '../../src/core/memory/physical-memory.ts';
import type { Driver, SourceEvent } from '../../src/driver/index.ts';
import { contentOf, fetchAll, framesOf, paOf, wellFormed } from './driver-questions.ts';
import { FrameWitness } from './frame-witness.ts';

/** A driver, just opened, and what a test must know of its source to ask it sensible questions. */
export interface ContractSubject {
  readonly driver: Driver;
  /** Frames of page tables that the guest is at work on, as it stands. The more of them, the more there is to see. */
  tables(): readonly number[];
  /** A physical address that is certainly not RAM. */
  readonly hole: number;
}

export interface ContractOptions {
  /** Opens the same source from the same beginning each time. */
  open(): ContractSubject | Promise<ContractSubject>;
  /** Whether a source opened twice says the same twice. */
  readonly deterministic: boolean;
  /** Whether the source goes on for as long as it is asked; otherwise it may end by itself during a test. */
  readonly endless: boolean;
}

/** Batches that a test looks at. */
const BATCHES = 300;
/** How long a guest that should stand still is given to move. */
const PATIENCE_MS = 20;

export function describeDriverContract(name: string, options: ContractOptions): void {
  describe(`the driver contract: ${name}`, () => {
    const opened: Driver[] = [];
    const open = async (): Promise<ContractSubject> => {
      const subject = await options.open();
      opened.push(subject.driver);
      return subject;
    };

    afterEach(async () => {
      await Promise.all(opened.splice(0).map((driver) => driver.close()));
    });

    describe('memory', () => {
      test('reads whole entries of 8 and 4 bytes, which agree with each other', async () => {
        const { driver, tables } = await open();
        const used = tables().slice(0, 16);
        expect(used.length).toBeGreaterThan(0);
        await fetchAll(driver, used.map(paOf));
        const wide = new Uint32Array(2);
        const narrow = new Uint32Array(2);
        let present = 0;
        for (const pa of used.flatMap((gfn) => Array.from({ length: 512 }, (_, slot) => paOf(gfn) + slot * 8))) {
          if (driver.memory.readEntry(pa, 8, wide) !== READ_OK)
            throw new Error(`table entry 0x${pa.toString(16)} is not there`);
          const halves = [pa, pa + 4].map((at) => {
            narrow.fill(0xffffffff);
            driver.memory.readEntry(at, 4, narrow);
            return [...narrow];
          });
          if (wide[0] !== halves[0]![0] || wide[1] !== halves[1]![0])
            expect(halves).toEqual([
              [wide[0], 0],
              [wide[1], 0],
            ]);
          if (halves[0]![1] !== 0) throw new Error('the high word of a 4-byte entry is not 0');
          present += wide[0]! & 1;
        }
        expect(present).toBeGreaterThan(0);
      });

      test('what is not RAM is "no memory", and leaves the buffer alone', async () => {
        const { driver, hole } = await open();
        await fetchAll(driver, [hole]);
        const out = Uint32Array.of(0x1234, 0x5678);
        expect(driver.memory.readEntry(hole, 8, out)).toBe(READ_NO_MEMORY);
        expect(driver.memory.readEntry(hole, 4, out)).toBe(READ_NO_MEMORY);
        expect([...out]).toEqual([0x1234, 0x5678]);
      });

      test('remote: nothing is here before it is fetched, and everything that was asked for is here afterwards', async ({
        skip,
      }) => {
        const { driver, tables, hole } = await open();
        if (driver.remote === undefined) return skip('memory is local');
        const wanted = [...tables().slice(0, 3).map(paOf), hole];
        const out = Uint32Array.of(1, 2);
        expect(driver.memory.readEntry(wanted[0]!, 8, out)).toBe(READ_NOT_FETCHED);
        expect([...out]).toEqual([1, 2]);
        await driver.remote.fetch(wanted);
        for (const pa of wanted) expect(driver.memory.readEntry(pa + 8, 8, out)).not.toBe(READ_NOT_FETCHED);
        await expect(driver.remote.fetch(wanted, AbortSignal.abort())).rejects.toThrow();
      });

      test('local: an answer is never "not fetched"', async ({ skip }) => {
        const { driver, tables, hole } = await open();
        if (driver.remote !== undefined) return skip('memory is remote');
        const out = new Uint32Array(2);
        for (const pa of [...tables().map(paOf), hole])
          expect(driver.memory.readEntry(pa, 8, out)).not.toBe(READ_NOT_FETCHED);
      });
    });

    describe('protection', () => {
      test('what is set is what is found, and may be set again', async ({ skip }) => {
        const { driver, tables } = await open();
        const { protection } = driver;
        if (protection === undefined) return skip('no protection');
        const [gfn, other] = tables() as [number, number];
        const before = protection.getAccess(0, gfn);
        const beside = protection.getAccess(0, other);
        for (const access of [before & ~ACCESS_WRITE, before & ~ACCESS_WRITE, before]) {
          protection.setAccess(0, gfn, access);
          expect(protection.getAccess(0, gfn)).toBe(access);
          expect(protection.getAccess(0, other)).toBe(beside);
        }
      });

      test('a view that does not exist is "no-such-view", for both calls', async ({ skip }) => {
        const { driver, tables } = await open();
        const { protection } = driver;
        if (protection === undefined) return skip('no protection');
        const noSuchView = expect.objectContaining({ code: 'no-such-view' });
        expect(() => protection.getAccess(987_654, tables()[0]!)).toThrow(noSuchView);
        expect(() => protection.setAccess(987_654, tables()[0]!, 7)).toThrow(noSuchView);
      });

      test('no write to a protected frame goes by: it is said before it is in memory, and is there by its commit', async ({
        skip,
      }) => {
        const { driver, tables } = await open();
        const { protection } = driver;
        if (protection === undefined) return skip('no protection');
        const witness = new FrameWitness(driver);
        let writes = 0;
        await watch(driver, async (batch) => {
          await witness.check(batch);
          writes += batch.filter((event) => event.kind === 'write').length;
          for (const event of batch) {
            if (event.kind !== 'write') continue;
            const touched = framesOf(event.pa, event.byteLength);
            const trapping = touched.filter((gfn) => (protection.getAccess(event.view, gfn) & ACCESS_WRITE) === 0);
            expect(trapping.length, 'a write was reported that touches no protected frame').toBeGreaterThan(0);
          }
          for (const gfn of tables()) {
            if (witness.has(gfn) || witness.size >= 24) continue;
            protection.setAccess(0, gfn, protection.getAccess(0, gfn) & ~ACCESS_WRITE);
            await witness.add(gfn);
          }
        });
        expect(writes).toBeGreaterThan(0);
        expect(witness.changes).toBeGreaterThan(0);
      });
    });

    describe('registers', () => {
      test('every vCPU has them, and paging is on on one at least', async ({ skip }) => {
        const { driver } = await open();
        const { registers } = driver;
        if (registers === undefined) return skip('no registers');
        expect(registers.vcpuCount).toBeGreaterThan(0);
        const all = Array.from({ length: registers.vcpuCount }, (_, vcpu) => registers.readRegisters(vcpu));
        for (const { cr0, cr3, cr4, efer } of all) {
          for (const value of [cr0, cr3, cr4, efer]) expect(BigInt.asUintN(64, value)).toBe(value);
        }
        expect(all.some(({ cr0 }) => (cr0 & (1n << 31n)) !== 0n)).toBe(true);
      });

      test('a vCPU that does not exist is a bad argument', async ({ skip }) => {
        const { registers } = (await open()).driver;
        if (registers === undefined) return skip('no registers');
        for (const vcpu of [-1, registers.vcpuCount, 0.5]) {
          expect(() => registers.readRegisters(vcpu)).toThrow(expect.objectContaining({ code: 'bad-argument' }));
        }
      });
    });

    describe('the run', () => {
      test('yields well-formed events; each write is committed by its own vCPU, once the source is done', async () => {
        const subject = await open();
        const { driver, tables } = subject;
        const inFlight = new Map<number, number>();
        const count = driver.registers?.vcpuCount ?? Infinity;
        const ended = await watch(driver, (batch) => {
          for (const event of batch) {
            expect(wellFormed(event, count), JSON.stringify(event)).toBe(true);
            if (event.kind === 'write') inFlight.set(event.vcpu, (inFlight.get(event.vcpu) ?? 0) + 1);
            if (event.kind === 'commit') inFlight.delete(event.vcpu);
          }
          protectSome(subject, tables());
        });
        if (ended) expect([...inFlight]).toEqual([]);
      });

      test('the guest stands still between batches, however long', async () => {
        const { driver, tables } = await open();
        let looked = 0;
        await watch(driver, async () => {
          if (looked >= 5) return;
          looked++;
          const used = tables().slice(0, 32);
          await fetchAll(driver, used.map(paOf));
          const before = used.map((gfn) => contentOf(driver.memory, gfn));
          const registers = driver.registers?.readRegisters(0);
          await sleep(PATIENCE_MS);
          expect(used.map((gfn) => contentOf(driver.memory, gfn))).toEqual(before);
          expect(driver.registers?.readRegisters(0)).toEqual(registers);
        });
        expect(looked).toBe(5);
      });

      test('yields nothing when it is aborted before it begins', async () => {
        const { driver } = await open();
        const batches = [];
        for await (const batch of driver.run(AbortSignal.abort())) batches.push(batch);
        expect(batches).toEqual([]);
      });

      test('ends without an error when it is aborted', async ({ skip }) => {
        if (!options.endless) return skip('ends by itself');
        const { driver } = await open();
        const abort = new AbortController();
        let after = 0;
        for await (const _ of driver.run(abort.signal)) {
          if (abort.signal.aborted) after++;
          abort.abort();
        }
        expect(after).toBe(0);
      });

      test('can be left, and the driver closed', async () => {
        const { driver } = await open();
        for await (const _ of driver.run()) break;
        await driver.close();
      });

      test('lets timers have their turn, even when it has nothing to say', async ({ skip }) => {
        if (!options.endless) return skip('ends by itself');
        const { driver } = await open();
        const abort = new AbortController();
        const timer = setTimeout(() => abort.abort(), PATIENCE_MS);
        for await (const _ of driver.run(abort.signal));
        clearTimeout(timer);
        expect(abort.signal.aborted).toBe(true);
      });

      test('says the same each time', async ({ skip }) => {
        if (!options.deterministic) return skip('the source is not deterministic');
        const said = async () => {
          const subject = await open();
          const lines: string[] = [];
          await watch(subject.driver, (batch) => {
            lines.push(JSON.stringify(batch));
            protectSome(subject, subject.tables());
          });
          return lines.join('\n');
        };
        const first = await said();
        expect(first).toContain('"kind"');
        expect(await said()).toBe(first);
      });
    });

    describe('control', () => {
      test('paused, the guest does nothing; resumed, it goes on', async ({ skip }) => {
        const { driver } = await open();
        if (driver.control === undefined) return skip('no control');
        const running = driver.run()[Symbol.asyncIterator]();
        await running.next();
        await driver.control.pause();
        let moved = false;
        const next = running.next().then(() => {
          moved = true;
        });
        await sleep(PATIENCE_MS);
        expect(moved).toBe(false);
        await driver.control.resume();
        await next;
        await running.return?.();
      });

      test('paused twice is paused, resumed twice is resumed', async ({ skip }) => {
        const { driver } = await open();
        if (driver.control === undefined) return skip('no control');
        await driver.control.pause();
        await driver.control.pause();
        await driver.control.resume();
        await driver.control.resume();
        for await (const _ of driver.run()) break;
      });

      test('an abort ends the run of a paused guest, and so does closing it', async ({ skip }) => {
        for (const end of ['abort', 'close']) {
          const { driver } = await open();
          if (driver.control === undefined) return skip('no control');
          const abort = new AbortController();
          const running = driver.run(abort.signal)[Symbol.asyncIterator]();
          await running.next();
          await driver.control.pause();
          const next = running.next();
          if (end === 'abort') abort.abort();
          else await driver.close();
          expect((await next).done, end).toBe(true);
        }
      });
    });

    describe('closing', () => {
      test('may be done any number of times, at once or one after the other', async () => {
        const { driver } = await open();
        await Promise.all([driver.close(), driver.close()]);
        await driver.close();
      });

      test('ends a run, and nothing runs after it', async () => {
        const { driver } = await open();
        let batches = 0;
        for await (const _ of driver.run()) {
          batches++;
          await driver.close();
        }
        expect(batches).toBe(1);
        const after = (async () => {
          for await (const _ of driver.run()) batches++;
        })();
        await after.catch((error: unknown) => {
          expect(error).toBeInstanceOf(PtmonError);
          expect(['closed', 'source-unavailable']).toContain((error as PtmonError).code);
        });
        expect(batches).toBe(1);
      });
    });
  });
}

/** Runs the source for some batches. Answers whether it ended by itself. */
async function watch(driver: Driver, look: (batch: readonly SourceEvent[]) => void | Promise<void>): Promise<boolean> {
  let left = BATCHES;
  for await (const batch of driver.run()) {
    await look(batch);
    if (--left === 0) return false;
  }
  return true;
}

function protectSome({ driver }: ContractSubject, tables: readonly number[]): void {
  for (const gfn of tables.slice(0, 64)) {
    const access = driver.protection?.getAccess(0, gfn) ?? 0;
    if (access & ACCESS_WRITE) driver.protection?.setAccess(0, gfn, access & ~ACCESS_WRITE);
  }
}
