/** Explains how addresses translate, whatever the source of the tables. */
import { hex } from '../../../core/address/va.ts';
import { type Walk, walk } from '../../../core/paging/walk.ts';
import { Pacer } from '../../../driver/pacer.ts';
import { retry } from '../../../driver/retry.ts';
import { PtmonError } from '../../../core/error.ts';
import { areaAt, Explainer, NO_KERNEL_SYMBOLS, type SymbolTable } from '../../../linux/index.ts';
import { type AddressSpace, GapTotals } from '../../../snapshot/index.ts';
import { printable } from '../../../sinks/printable.ts';
import type { CommandContext } from '../../context.ts';
import type { SourceAndSpaceOptions, SourceName } from '../../options/source.ts';
import { EXIT_INCOMPLETE, EXIT_OK, EXIT_USAGE } from '../../exit/exit-codes.ts';
import { interruptible } from '../../exit/interruptible.ts';
import { type Visit, visitSnapshot } from '../../snapshot/visit-snapshot.ts';
import { type AddressWord, canonicalOnly, type KnownAddress, readAddresses, WrongWords } from './addresses.ts';
import { translationJson } from './json.ts';
import type { KernelName } from './kernel-name.ts';
import { type AnswerForm, translateBack } from './reverse.ts';
import { translationLines } from './text.ts';
import { gapLines } from '../../output/gap-text.ts';
import { printStatus } from '../../output/status-lines.ts';

export interface TranslateRequest {
  readonly source: SourceName;
  /** `0x…`, or `-` for standard input. */
  readonly words: readonly string[];
  /** Physical addresses, for the reverse. */
  readonly physical: readonly number[];
  readonly json: boolean;
}

/** @throws PtmonError `bad-argument` and `non-canonical` before anything is printed; as `visitSnapshot` */
export async function runTranslate(
  { source, words, physical, json }: TranslateRequest,
  options: SourceAndSpaceOptions,
  context: CommandContext,
): Promise<void> {
  // Before a live guest is paused: standard input may take any time.
  const wrong = new WrongWords();
  const addresses = await readAddresses(words, context.input, wrong);
  await interruptible(context, async (signal) => {
    let [notes, isIncomplete] = ['', false];
    await visitSnapshot({ source, options, streams: context, signal }, async (visit) => {
      const { snapshot, space } = visit;
      const gaps = new GapTotals();
      const known = canonicalOnly(space.paging, await resolveSymbols(visit, addresses, wrong), wrong);
      await translate(visit, known, { json, gaps });
      for (const pa of physical) await translateBack(visit, pa, { json, gaps });
      notes = gapLines(gaps, space);
      // All memory of a live guest is there: a table outside it is the guest's own doing.
      isIncomplete = source !== undefined && gaps.missingTables > 0 && snapshot.isExcerpt !== true;
    });
    await printStatus(context.messages, notes);
    for (const line of wrong.lines) await printStatus(context.messages, `ptmon: ${line}`);
    if (wrong.count > 0) return EXIT_USAGE;
    return isIncomplete ? EXIT_INCOMPLETE : EXIT_OK;
  });
}

/**
 * Prints one explanation for each address; in text, with an empty line between two of them.
 * With what the guest's system knows of an address: what it is called, and what an entry means that is not present.
 */
async function translate(visit: Visit, addresses: readonly bigint[], { json, gaps }: AnswerForm): Promise<void> {
  const { memory, remote } = visit.snapshot;
  const { paging, root } = visit.space;
  let explainer: Explainer | undefined;
  const meaningOf = async (found: Walk) => {
    if (found.translates || found.reason !== 'not-present') return undefined;
    const linux = await visit.linux.guestIfAny();
    if (linux !== undefined) explainer ??= new Explainer(linux);
    return explainer?.explain(found);
  };
  const pacer = new Pacer(visit.work);
  for (const [at, va] of addresses.entries()) {
    if (pacer.isDue) await pacer.turn({ what: 'translating', done: at, total: addresses.length, unit: 'addresses' });
    const found = await retry(() => walk(paging, memory, root, va), { remote, signal: visit.work.signal });
    gaps.addWalk(paging, found);
    const facts = { system: await meaningOf(found), name: await nameOf(visit, va) };
    if (json) await visit.print(translationJson(paging, found, facts));
    else await visit.print(`${at > 0 ? '\n' : ''}${translationLines(paging, found, facts).join('\n')}\n`);
  }
}

/** What the kernel calls an address of its half; undefined for any other, or without a known Linux. */
async function nameOf({ linux, space }: Visit, va: bigint): Promise<KernelName | undefined> {
  if (va < kernelStartOf(space)) return undefined;
  const names = await linux.names();
  const [symbol, area] = [names?.symbols?.at(va), names && areaAt(names.areas, va)];
  return symbol === undefined && area === undefined ? undefined : { symbol, area };
}

/** The lowest address that may be a kernel's: what lies below is not looked up. */
function kernelStartOf({ paging }: AddressSpace): bigint {
  return paging.mode.canonical ? 1n << 63n : 0x4000_0000n;
}

/**
 * The addresses of words that are symbols.
 *
 * @throws PtmonError for a word of the command line: `bad-argument` where it is no symbol, and as `symbolsOf`
 */
async function resolveSymbols(visit: Visit, words: readonly AddressWord[], wrong: WrongWords): Promise<KnownAddress[]> {
  const found: KnownAddress[] = [];
  let symbols: Promise<SymbolTable> | undefined;
  for (const word of words) {
    if ('va' in word) {
      found.push(word);
      continue;
    }
    const { symbol, offset, where } = word;
    try {
      symbols ??= symbolsOf(visit);
      const va = addressOf(await symbols, symbol) + offset;
      if (va >= 1n << 64n) throw beyond(symbol, offset);
      found.push({ va, where });
    } catch (error) {
      if (!(error instanceof PtmonError)) throw error;
      const said = error.code === 'bad-argument' ? error : notLookedUp(symbol, error);
      if (where === '') throw said;
      wrong.add(`${where}${said.message}`);
    }
  }
  return found;
}

/** @throws PtmonError `bad-argument` */
function addressOf(symbols: SymbolTable, name: string): bigint {
  const address = symbols.find(name)?.address;
  if (address !== undefined) return address;
  throw new PtmonError(
    'bad-argument',
    `${printable(name)}: neither a virtual address (0x…) nor a symbol of the kernel`,
  );
}

function beyond(name: string, offset: bigint): PtmonError {
  const word = `${printable(name)}+${hex(offset)}`;
  return new PtmonError('bad-argument', `${word}: beyond the last address`);
}

/** For a word that may be a mistyped address as well. */
function notLookedUp(name: string, { code, message }: PtmonError): PtmonError {
  return new PtmonError(
    code,
    `${printable(name)} is not an address (0x…), and cannot be looked up as a symbol of the kernel: ${message}`,
  );
}

/** @throws PtmonError `source-unavailable` where there are none; as `openLinux` */
async function symbolsOf({ linux }: Visit): Promise<SymbolTable> {
  await linux.guest();
  const symbols = (await linux.names())?.symbols;
  if (symbols !== undefined) return symbols;
  throw new PtmonError('source-unavailable', `${NO_KERNEL_SYMBOLS}: give a file of them with --symbols`);
}
