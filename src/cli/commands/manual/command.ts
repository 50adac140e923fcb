/** `ptmon manual`: writes the manual pages, for the package. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import type { CommandContext } from '../../context.ts';
import { commandPage, overviewPage } from './man-page.ts';

export function defineManual(command: Command, context: CommandContext): void {
  command.argument('<folder>', 'where ptmon.1 and the pages of the commands go').action(async (folder: string) => {
    mkdirSync(folder, { recursive: true });
    const visible = context.commands.filter(({ isHidden }) => isHidden !== true);
    writeFileSync(join(folder, 'ptmon.1'), overviewPage(visible));
    for (const { name, summary } of visible) {
      const each = await context.defineCommand(name, new Command(name).description(summary));
      writeFileSync(join(folder, `ptmon-${name}.1`), commandPage(each));
    }
  });
}
