/** `ptmon demo`. */
import { type Command, Option } from 'commander';
import { PtmonError } from '../../../core/error.ts';
import type { CommandContext } from '../../context.ts';
import { addEventOptions, addRecordOption, addSpeedOption } from '../../options/events.ts';
import { PAGING_MODES, wholeNumber } from '../../options/values.ts';
import { EXIT_OK } from '../../exit/exit-codes.ts';
import { interruptible } from '../../exit/interruptible.ts';
import { bundledTrace, bundledTraces, DEFAULT_TRACE } from './bundled-traces.ts';
import type { DemoOptions } from './run-demo.ts';
import { addHelp } from '../../options/help.ts';

/** With this seed much happens within 40 steps: fork, exit, copy-on-write, a huge page, swap. */
const EVENTFUL_SEED = 58;

const HELP = `
Without --sim, demo replays a trace of a real Linux guest. With --sim, it runs a
simulated guest. --seed and the options below it configure that guest.

Examples:
  ptmon demo                              what a real Linux guest did
  ptmon demo swap --speed 2               another recording, at twice its speed
  ptmon demo --json | head                the same events as JSON lines
  ptmon demo --sim                        a simulated guest with two vCPUs
  ptmon demo --sim --seed 7 --steps 500   another seed, and a longer run
  ptmon demo --sim --mode pae --vcpus 4   PAE paging, 4 vCPUs
`;

interface Options extends DemoOptions {
  readonly sim?: boolean;
  readonly speed?: number;
}

/** Options of the simulated guest alone. */
const SIM_OPTIONS = ['seed', 'steps', 'after', 'vcpus', 'mode', 'isolation', 'selfMap', 'record'];

export function defineDemo(command: Command, context: CommandContext): void {
  addHelp(command, HELP);
  command.argument('[trace]', `one of ${bundledTraces().join(', ')} (default: ${DEFAULT_TRACE})`);
  addEventOptions(addSpeedOption(command))
    .option('--sim', 'run a simulated guest; the options below configure it')
    .option('--seed <n>', 'the same seed gives the same events', wholeNumber(0, 2 ** 32 - 1), EVENTFUL_SEED)
    .option('--steps <n>', 'steps that the guest runs while it is watched', wholeNumber(1, 1e9), 40)
    .option('--after <n>', 'steps that the guest runs before it is watched', wholeNumber(0, 1e9), 300)
    .option('--vcpus <n>', 'vCPUs of the guest', wholeNumber(1, 16), 2)
    .addOption(new Option('--mode <mode>', 'paging mode').choices(PAGING_MODES).default(PAGING_MODES[0]))
    .option('--isolation', 'two roots for each process, as with Linux page-table isolation (PTI)')
    .option('--self-map', 'recursive page tables, as in Windows');
  addRecordOption(command).action(async (trace: string | undefined, options: Options) => {
    checkTogether(trace, options, command);
    await interruptible(context, async (signal) => {
      if (options.sim === true) {
        const { runDemo } = await import('./run-demo.ts');
        await runDemo(options, context.output, signal);
      } else {
        const { runReplay } = await import('../../trace/run-replay.ts');
        await runReplay(bundledTrace(trace ?? DEFAULT_TRACE), replayOptions(options), context.output, signal);
      }
      return EXIT_OK;
    });
  });
}

function checkTogether(trace: string | undefined, { sim, speed }: Options, command: Command): void {
  if (sim === true) {
    const extra = trace ?? (speed === undefined ? undefined : '--speed');
    if (extra === undefined) return;
    throw new PtmonError('bad-argument', `${extra} belongs to a recording and --sim to a simulated guest: drop one`);
  }
  const given = command.options.find(
    (option) =>
      SIM_OPTIONS.includes(option.attributeName()) && command.getOptionValueSource(option.attributeName()) === 'cli',
  );
  if (given !== undefined) {
    throw new PtmonError('bad-argument', `${given.long} needs the simulated guest: ptmon demo --sim ${given.flags}`);
  }
}

function replayOptions({ json, speed, kinds }: Options) {
  return { ...(json && { json }), ...(speed !== undefined && { speed }), ...(kinds && { kinds }) };
}
