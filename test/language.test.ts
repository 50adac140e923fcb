/** Plain English: phrases that a reader has to decode, and what to write instead. */
import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { allDocuments } from './docs/markdown.ts';

const PHRASES: readonly (readonly [pattern: RegExp, instead: string])[] = [
  [/\b[Aa]nswers? whether\b|(?:\/\*\*|\.) Answers\b/, 'Returns, Returns whether'],
  [/\bunless told\b/, 'defaults to'],
  [/\bwords for people\b|, for people\b/, 'human-readable'],
  [/\bst(?:ands?|ood|anding) still\b/, 'is stopped'],
  [/\b(?:lets?|is|are) (?:it |them |the \w+ )?(?:let )?go\b(?! on\b)/, 'releases, detaches'],
  [/\b(?:[Ss]ome|every)body\b|\b[Ww]hoever\b|\b(?:no|any)body knows\b/, 'the caller, another client: the actual one'],
  [/\b(?:is|are|was|were) said\b/, 'reports'],
  [/\b[Ww]hole number\b/, 'integer'],
  [/\bequals itself\b/, 'not NaN'],
  [/\brestless\b/, 'frequently changed'],
  [/\bsay again\b/, 'repeat, replay'],
  [/\bin passing\b/, 'transient'],
  [/\bas it should be\b/, 'inconsistent, invalid: which and why'],
  [/\bits children\b(?= )(?<=Debian and its children)/, 'derivatives'],
];

/** Strings, comments and help texts of everything that is read from outside; tests and their helpers are not. */
const CODE = ['src', 'guest', 'examples', 'scripts', 'bench', 'test/docs', 'test/contract', 'test/types'].flatMap(
  (folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .map((file) => `${folder}/${file.replaceAll('\\', '/')}`)
      .filter((file) => /\.(?:ts|mjs|c|h|sh)$/.test(file) && !/node_modules|language\.test\.ts$/.test(file)),
);
const ROOT = readdirSync('.').filter((file) => file.endsWith('.md') && file !== 'README.md');

test.each([...allDocuments(), ...ROOT, ...CODE])('%s', (file) => {
  const lines = readFileSync(file, 'utf8').split('\n');
  const found = lines.flatMap((line, n) =>
    PHRASES.filter(([pattern]) => pattern.test(line)).map(
      ([pattern, instead]) => `${file}:${n + 1}: "${pattern.exec(line)![0]}": write "${instead}"`,
    ),
  );
  expect(found).toEqual([]);
});
