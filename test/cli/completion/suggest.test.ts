import { describe, expect, test } from 'vitest';
import { COMMANDS, defineCommand } from '../../../src/cli/commands/index.ts';
import { suggest, type Lookup } from '../../../src/cli/completion/suggest.ts';
import type { CommandContext } from '../../../src/cli/context.ts';
import { TextOutput } from '../../../src/sinks/text-output.ts';
import { Recorder } from '../../sinks/examples.ts';

const context: CommandContext = {
  commands: COMMANDS,
  defineCommand: (name, command) => defineCommand(name, command, context),
  output: new TextOutput(new Recorder()),
  messages: new TextOutput(new Recorder()),
  input: () => {
    throw new Error('completion reads no input');
  },
  exit: () => {},
};

const lookup: Lookup = {
  vms: async () => [
    { value: 'web', description: 'PID 7' },
    { value: 'db', description: 'PID 8' },
  ],
  processes: async (words) =>
    words.includes('web')
      ? [
          { value: '1', description: 'init', command: 'init' },
          { value: '12', description: 'nginx', command: 'nginx' },
          { value: '13', description: 'nginx', command: 'nginx' },
        ]
      : [],
};

/** @param line the command line after `ptmon`; what follows its last space is completed */
async function after(line: string): Promise<string[]> {
  const words = line.split(' ');
  const { list, files } = await suggest(words.slice(0, -1), words.at(-1)!, context, lookup);
  const end = files === undefined ? [] : [`files${files.suffix ?? ''}`];
  return [...list.map(({ value }) => value), ...end];
}

describe('what may come next', () => {
  test.each([
    ['ma', ['maps', 'map']],
    ['--v', ['--version']],
    ['help dia', []],
    ['help tr', ['translate']],
    ['comp', ['completion']],
    ['map --w', ['--wx', '--writable']],
    ['map --wx --w', ['--writable']],
    ['demo ', ['tour', 'boot', 'fork', 'huge', 'swap']],
    ['demo --mode ', ['4-level', '5-level', 'pae', '32-bit']],
    ['demo --mode=p', ['--mode=pae']],
    ['watch --kinds r', ['restructure', 'root-gone']],
    ['watch --vm ', ['web', 'db']],
    ['watch --vm=w', ['--vm=web']],
    ['watch --vm web --comm ', ['init', 'nginx']],
    ['watch --vm web --pid 1', ['1', '12', '13']],
    ['maps --vm web ', ['1', '12', '13']],
    ['maps ', ['files']],
    ['maps vm.core ', []],
    ['map ', ['files']],
    ['map --vm web ', []],
    ['diff a ', ['files']],
    ['replay ', ['files.trace']],
    ['replay x.trace ', []],
    ['export x.trace --output ', ['files']],
    ['watch --count ', []],
    ['nonsense ', []],
  ])('%s', async (line, expected) => {
    expect(await after(line)).toEqual(expected);
  });

  test('an option that may be repeated is offered again', async () => {
    expect(await after('watch --va 0x1000 --va')).toContain('--va');
    expect(await after('watch --count 3 --cou')).toEqual([]);
  });

  test('every option of every command has a description', async () => {
    for (const { value: name } of (await suggest([], '', context, lookup)).list) {
      const { list } = await suggest([name], '--', context, lookup);
      expect(list.length).toBeGreaterThan(0);
      for (const { value, description } of list) expect(description, `${name} ${value}`).not.toBe('');
    }
  });
});
