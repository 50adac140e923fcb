/** The rules of docs/contract.md: a rule that the code cites exists, and a rule that exists is cited by a test. */
import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const RULES = [...readFileSync('docs/contract.md', 'utf8').matchAll(/^- \*\*([TECRP]\d+)\*\* /gm)].map(([, id]) => id!);

/** Comments, and the titles of tests. */
const COMMENT = /\/\*[^]*?\*\/|(?<=^|\s)\/\/.*/g;
const TITLE = /(?:describe|test|it)(?:\.\w+(?:\([^()]*\))?)*\(\s*(['"`])(.*?)\1/g;
/** A quoted name is none of our rules: `R15` is a register, 'E22' a reply of a gdbstub. */
const CITATION = /(?<![\w'"`.#/-])([TECRP]\d{1,2})(?![\w'"`])/g;

interface Citation {
  readonly rule: string;
  readonly place: string;
}

function citationsIn(folder: string): Citation[] {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
  return files.flatMap((file) => {
    const source = readFileSync(`${folder}/${file}`, 'utf8');
    const texts = [...source.matchAll(COMMENT)].map(([text]) => text);
    const titles = [...source.matchAll(TITLE)].map(([, , title]) => title!);
    return [...texts, ...titles].flatMap((text) =>
      [...text.matchAll(CITATION)].map(([, rule]) => ({ rule: rule!, place: `${folder}/${file}` })),
    );
  });
}

test('the rules are numbered without a gap or a double', () => {
  for (const letter of 'TECRP') {
    const numbers = RULES.filter((rule) => rule.startsWith(letter)).map((rule) => Number(rule.slice(1)));
    expect(numbers, letter).toEqual(numbers.map((_, n) => n + 1));
    expect(numbers.length, letter).toBeGreaterThan(0);
  }
});

test('every rule that src, test or bench cites is in docs/contract.md', () => {
  const known = new Set(RULES);
  const cited = ['src', 'test', 'bench'].flatMap(citationsIn);
  expect(cited.length).toBeGreaterThan(100);
  expect(cited.filter(({ rule }) => !known.has(rule))).toEqual([]);
});

test('every rule is cited by a test', () => {
  const cited = new Set(citationsIn('test').map(({ rule }) => rule));
  expect(RULES.filter((rule) => !cited.has(rule))).toEqual([]);
});
