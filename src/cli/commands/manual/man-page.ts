/** Manual pages in the format of man(7), from the definitions that `--help` shows. */
import type { Command, Option } from 'commander';
import { VERSION } from '../../../sinks/version.ts';
import { helpOf } from '../../options/help.ts';
import { ABOUT, EXIT_CODES } from '../../about.ts';

interface Listed {
  readonly name: string;
  readonly summary: string;
}

/** ptmon(1). */
export function overviewPage(commands: readonly Listed[]): string {
  return page('ptmon', "watch a virtual machine's page tables from outside", [
    section('SYNOPSIS', [bold('ptmon'), '[\\fIoptions\\fR] \\fIcommand\\fR'].join(' ')),
    section('DESCRIPTION', text(ABOUT)),
    section('COMMANDS', ...commands.map(({ name, summary }) => tagged(`${bold(`ptmon-${name}`)}(1)`, summary))),
    section(
      'OPTIONS',
      tagged(bold('-V, --version'), 'print the version and exit'),
      tagged(bold('-h, --help'), 'print help and exit'),
    ),
    section('EXIT STATUS', ...exitCodes(EXIT_CODES)),
  ]);
}

/** ptmon-map(1) and the like. */
export function commandPage(command: Command): string {
  const name = `ptmon-${command.name()}`;
  const { paragraphs, examples } = parts(helpOf(command));
  const uses = `ptmon ${command.name()} ${command.usage()}`.split('\n').map((line) => line.trim());
  const arguments_ = command.registeredArguments.filter(({ description }) => description !== '');
  return page(name, command.description(), [
    section('SYNOPSIS', uses.map(bold).join('\n.br\n')),
    ...(paragraphs.length > 0 ? [section('DESCRIPTION', ...paragraphs)] : []),
    ...(arguments_.length > 0
      ? [section('ARGUMENTS', ...arguments_.map((each) => tagged(italic(each.name()), each.description)))]
      : []),
    section(
      'OPTIONS',
      ...command.options.filter(({ hidden }) => !hidden).map(optionText),
      tagged(bold('-h, --help'), 'print help and exit'),
    ),
    ...(examples === '' ? [] : [section('EXAMPLES', examples)]),
    section('SEE ALSO', `${bold('ptmon')}(1)`),
  ]);
}

function page(name: string, summary: string, sections: readonly string[]): string {
  const heading = `.TH ${name.toUpperCase()} 1 "" "ptmon ${VERSION}" "User Commands"`;
  return `${[heading, section('NAME', `${escaped(name)} \\- ${escaped(summary)}`), ...sections].join('\n')}\n`;
}

function section(title: string, ...contents: readonly string[]): string {
  return [`.SH ${title}`, ...contents].join('\n');
}

function tagged(tag: string, description: string): string {
  return `.TP\n${tag}\n${text(description)}`;
}

function optionText(option: Option): string {
  const [, names = '', value = ''] = /^([^<[]*?) ?([<[][^]*)?$/.exec(option.flags) ?? [];
  const notes = [
    ...(option.argChoices === undefined ? [] : [`one of ${option.argChoices.join(', ')}`]),
    ...(option.defaultValue === undefined ? [] : [`default: ${String(option.defaultValue)}`]),
  ];
  const description = `${option.description}${notes.length > 0 ? ` (${notes.join('; ')})` : ''}`;
  return tagged(`${bold(names)}${value === '' ? '' : ` ${italic(value.replaceAll(/[<>[\]]/g, ''))}`}`, description);
}

/** The paragraphs of a help text, and its examples, which keep their lines. */
function parts(help: string): { readonly paragraphs: readonly string[]; readonly examples: string } {
  const [before = '', after = ''] = help.split(/^Examples:$/m);
  const paragraphs = before
    .split(/\n{2,}/)
    .map((paragraph) => paragraph.replaceAll(/^\n|\n$/g, ''))
    .filter((paragraph) => paragraph !== '');
  return {
    paragraphs: paragraphs.map(
      (paragraph, at) => `${at > 0 ? '.PP\n' : ''}${/^ {2}/m.test(paragraph) ? verbatim(paragraph) : text(paragraph)}`,
    ),
    examples: after.trim() === '' ? '' : verbatim(after.replaceAll(/^\n|\n$/g, '')),
  };
}

function verbatim(lines: string): string {
  return `.nf\n${text(lines)}\n.fi`;
}

/** `  2    the command line is wrong` as a list. */
function exitCodes(help: string): string[] {
  return [...help.matchAll(/^ {2}(\d+) +(.*)$/gm)].map(([, code = '', meaning = '']) => tagged(bold(code), meaning));
}

function bold(words: string): string {
  return `\\fB${escaped(words)}\\fR`;
}

function italic(words: string): string {
  return `\\fI${escaped(words)}\\fR`;
}

/** Lines of text, none of which is taken for a request of roff. */
function text(lines: string): string {
  return lines
    .split('\n')
    .map((line) => escaped(line).replace(/^(?=[.'])/, '\\&'))
    .join('\n');
}

function escaped(words: string): string {
  return words.replaceAll('\\', '\\e').replaceAll('-', '\\-').replaceAll('…', '...');
}
