/** Explains how addresses translate, whatever the source of the tables. */
import { type Walk, walk } from '../../../core/paging/walk.ts';
import { Pacer } from '../../../driver/pacer.ts';
import { retry } from '../../../driver/retry.ts';
import { Explainer, type LinuxGuest } from '../../../linux/index.ts';
import type { CommandContext } from '../../context.ts';
import type { SourceAndSpaceOptions, SourceName } from '../../options/source.ts';
import { EXIT_OK, EXIT_USAGE } from '../../process/exit-codes.ts';
import { interruptible } from '../../process/interruptible.ts';
import { linuxIfAny } from '../../snapshot/ask-linux.ts';
import { type Visit, visitSnapshot } from '../../snapshot/visit-snapshot.ts';
import { canonicalOnly, readAddresses, WrongWords } from './addresses.ts';
import { translationJson } from './json.ts';
import { translateBack } from './reverse.ts';
import { translationLines } from './text.ts';

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
    await visitSnapshot({ source, options, streams: context, signal }, async (visit) => {
      let linux: Promise<LinuxGuest | undefined> | undefined;
      const known = canonicalOnly(visit.space.paging, addresses, wrong);
      await translate(visit, known, json, () => (linux ??= linuxIfAny(visit, options)));
      for (const pa of physical) await translateBack(visit, pa, json);
    });
    for (const line of wrong.lines) await context.messages.write(`ptmon: ${line}\n`);
    return wrong.count === 0 ? EXIT_OK : EXIT_USAGE;
  });
}

/**
 * Prints one explanation for each address; in text, with an empty line between two of them.
 *
 * @param findLinux called for an address that does not translate: the guest's system knows what its entry means
 */
async function translate(
  visit: Visit,
  addresses: readonly bigint[],
  json: boolean,
  findLinux: () => Promise<LinuxGuest | undefined>,
): Promise<void> {
  const { memory, remote } = visit.snapshot;
  const { paging, root } = visit.space;
  let explainer: Explainer | undefined;
  const meaningOf = async (found: Walk) => {
    if (found.translates || found.reason !== 'not-present') return undefined;
    const linux = await findLinux();
    if (linux !== undefined) explainer ??= new Explainer(linux);
    return explainer?.explain(found);
  };
  const pacer = new Pacer(visit.work);
  for (const [at, va] of addresses.entries()) {
    if (pacer.isDue) await pacer.turn({ what: 'translating', done: at, total: addresses.length, unit: 'addresses' });
    const found = await retry(() => walk(paging, memory, root, va), { remote, signal: visit.work.signal });
    const meaning = await meaningOf(found);
    if (json) await visit.print(translationJson(paging, found, meaning));
    else await visit.print(`${at > 0 ? '\n' : ''}${translationLines(paging, found, meaning).join('\n')}\n`);
  }
}
