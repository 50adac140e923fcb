/** Messages about a wrong command line: one line that says what is wrong, with the value, and what to do. */

/** Commander's sentences, and what is printed instead. The first that matches is taken. */
const SENTENCES: readonly (readonly [RegExp, (...groups: string[]) => string])[] = [
  [
    /^option '(?:-\w, )?(--[\w-]+)[^']*' argument '([^]*)' is invalid\. Allowed choices are ([^]*)\.$/,
    (option, value, choices) => `${option} ${value}: not one of ${choices}`,
  ],
  [
    /^option '(?:-\w, )?(--[\w-]+)[^']*' argument '([^]*)' is invalid\. ([^]*)$/,
    (option, value, why) => `${option} ${value}: ${why}`,
  ],
  [
    /^command-argument value '([^]*)' is invalid for argument '[^']+'\. Allowed choices are ([^]*)\.$/,
    (value, choices) => `${value}: not one of ${choices}`,
  ],
  [
    /^option '(?:-\w, )?(--[\w-]+) ?([^']*)' argument missing$/,
    (option, value) => `${option}: its value ${value} is missing`,
  ],
  [/^required option '(?:-\w, )?(--[\w-]+ ?[^']*)' not specified$/, (option) => `${option} is missing`],
  [/^missing required argument '([^']+)'$/, (argument) => `the argument <${argument}> is missing`],
  [
    /^too many arguments for '([^']+)'\. Expected (\d+) arguments? but got (\d+)\.$/,
    (command, most, given) =>
      `too many arguments: ${given} given, ptmon ${command} takes ${most === '0' ? 'none' : most}`,
  ],
  [
    /^unknown (option|command) '([^]*)'\n\(Did you mean ([^]*)\?\)$/,
    (kind, word, better) => `unknown ${kind} ${word}; did you mean ${better}?`,
  ],
  [/^unknown (option|command) '([^]*)'$/, (kind, word) => `unknown ${kind} ${word}`],
];

/**
 * @param text as commander prints it: `error: …`
 * @param name of the command whose help tells more
 */
export function usageError(text: string, name: string): string {
  const sentence = text.replace(/^error: /, '').trimEnd();
  for (const [pattern, say] of SENTENCES) {
    const match = pattern.exec(sentence);
    if (match !== null) return `ptmon: ${say(...match.slice(1))} (see ${name} --help)\n`;
  }
  return `ptmon: ${sentence} (see ${name} --help)\n`;
}
