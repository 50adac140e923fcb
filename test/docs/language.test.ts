/** Plain English: phrases that a reader has to decode, and what to write instead. */
import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { allDocuments } from './markdown.ts';

const PHRASES: readonly (readonly [pattern: RegExp, instead: string])[] = [
  [/\b[Aa]nswers? whether\b/, 'Returns whether'],
  [/\bunless told\b/, 'defaults to'],
  [/\bwords for people\b/, 'human-readable'],
  [/\bst(?:ands?|ood|anding) still\b/, 'is stopped'],
  [/\blets? (?:it )?go\b/, 'releases, detaches'],
  [/\b(?:[Ss]ome|every)body\b|\b[Ww]hoever\b|\bnobody knows\b/, 'the caller, another client: the actual one'],
  [/\b(?:is|are|was|were) said\b/, 'reports'],
  [/\b[Ww]hole number\b/, 'integer'],
  [/\bin passing\b/, 'transient'],
  [/\bas it should be\b/, 'inconsistent, invalid: which and why'],
  [/\bits children\b(?= )(?<=Debian and its children)/, 'derivatives'],
];

const CODE = ['src/testing', 'guest/workload', 'test/docs', 'test/contract'].flatMap((folder) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.(?:ts|c|h)$/.test(file) && !file.endsWith('language.test.ts'))
    .map((file) => `${folder}/${file}`),
);

test.each([...allDocuments(), ...CODE, 'guest/build.mjs'])('%s', (file) => {
  const lines = readFileSync(file, 'utf8').split('\n');
  const found = lines.flatMap((line, n) =>
    PHRASES.filter(([pattern]) => pattern.test(line)).map(
      ([pattern, instead]) => `${file}:${n + 1}: "${pattern.exec(line)![0]}": write "${instead}"`,
    ),
  );
  expect(found).toEqual([]);
});
