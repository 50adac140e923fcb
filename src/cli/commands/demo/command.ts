/** `ptmon demo`. */
import { Command, Option } from 'commander';
import { PtmonError } from '../../../core/error.ts';
import type { OptInKind } from '../../../core/monitor/events.ts';
import type { TextOutput } from '../../../sinks/text-output.ts';
import { bundledTrace, bundledTraces, DEFAULT_TRACE } from './bundled-traces.ts';
import { type DemoOptions, runDemo } from './run-demo.ts';
import { EXIT_OK } from '../../exit-codes.ts';
import { interruptible } from '../../interruptible.ts';
import { listOf, OPT_IN_KINDS, PAGING_MODES, positiveNumber, wholeNumber } from '../../option-values.ts';
import { runReplay } from '../replay/run-replay.ts';

/** A life in which much happens within 40 pieces of work: fork, exit, copy on write, a huge page, swap. */
const EVENTFUL_SEED = 58;

const EXAMPLES = `
Without --sim, a recording of a real Linux guest is replayed; with it, a
simulated guest lives as its options say.

Examples:
  ptmon demo                              what a real Linux guest did
  ptmon demo swap --speed 2               another one, twice as fast as it was
  ptmon demo --json | head                the same events as JSON lines
  ptmon demo --sim                        a simulated guest, two processors
  ptmon demo --sim --seed 7 --steps 500   another life, and a longer one
  ptmon demo --sim --mode pae --vcpus 4   32-bit paging, 4 processors
`;

interface Options extends DemoOptions {
  readonly sim?: boolean;
  readonly speed?: number;
  readonly kinds?: readonly OptInKind[];
}

/** Options of the simulated guest alone. */
const SIM_OPTIONS = ['seed', 'steps', 'after', 'vcpus', 'mode', 'isolation', 'selfMap', 'record'];

/** @param exit is told the exit code of a run that did not fail */
export function demoCommand(output: TextOutput, exit: (code: number) => void): Command {
  return new Command('demo')
    .description(
      'watch the processes of a guest gain and lose their memory: of a real one, recorded, or of a simulated one',
    )
    .argument('[trace]', `one of ${bundledTraces().join(', ')} (default: ${DEFAULT_TRACE})`)
    .option('--json', 'print JSON lines, not text')
    .option(
      '--speed <n>',
      '1 for as fast as it happened, 2 for twice as fast; as fast as it goes unless told',
      positiveNumber,
    )
    .option('--kinds <kinds>', `other kinds of events: ${OPT_IN_KINDS.join(',')}`, listOf(OPT_IN_KINDS))
    .option('--sim', 'a simulated guest; the options that follow are for it')
    .option('--seed <n>', 'what happens: the same seed, the same events', wholeNumber(0, 2 ** 32 - 1), EVENTFUL_SEED)
    .option('--steps <n>', 'pieces of work that the guest does, watched', wholeNumber(1, 1e9), 40)
    .option('--after <n>', 'pieces of work that it does before', wholeNumber(0, 1e9), 300)
    .option('--vcpus <n>', 'processors of the guest', wholeNumber(1, 16), 2)
    .addOption(new Option('--mode <mode>', 'paging mode').choices(PAGING_MODES).default(PAGING_MODES[0]))
    .option('--isolation', 'two roots a process, as Linux has against Meltdown')
    .option('--self-map', 'page tables that map themselves, as Windows has them')
    .option('--record <file>', 'write a trace, for ptmon replay')
    .addHelpText('after', EXAMPLES)
    .action(async (trace: string | undefined, options: Options, command: Command) => {
      checkTogether(trace, options, command);
      await interruptible(output, exit, async (signal) => {
        if (options.sim === true) await runDemo(options, output, signal);
        else await runReplay(bundledTrace(trace ?? DEFAULT_TRACE), replayOptions(options), output, signal);
        return EXIT_OK;
      });
    });
}

function checkTogether(trace: string | undefined, { sim, speed }: Options, command: Command): void {
  if (sim === true) {
    const extra = trace ?? (speed === undefined ? undefined : '--speed');
    if (extra === undefined) return;
    throw new PtmonError('bad-argument', `${extra} is for a recorded guest, --sim for a simulated one: not both`);
  }
  const given = command.options.find(
    (option) =>
      SIM_OPTIONS.includes(option.attributeName()) && command.getOptionValueSource(option.attributeName()) === 'cli',
  );
  if (given !== undefined) {
    throw new PtmonError('bad-argument', `${given.long} is for the simulated guest: ptmon demo --sim ${given.flags}`);
  }
}

function replayOptions({ json, speed, kinds }: Options) {
  return { ...(json && { json }), ...(speed !== undefined && { speed }), ...(kinds && { kinds }) };
}
