/** The code in the documentation, as a test needs it. */
import { readdirSync, readFileSync } from 'node:fs';

export interface Fence {
  /** What follows the backquotes: `js`, `sh`, … */
  readonly language: string;
  readonly text: string;
  /** Line of the opening backquotes, from 1. */
  readonly line: number;
}

/** The fenced code blocks of a document. */
export function fencesOf(document: string): Fence[] {
  const lines = readFileSync(document, 'utf8').split('\n');
  const fences: Fence[] = [];
  for (let at = 0; at < lines.length; at++) {
    const language = /^```(\w*)$/.exec(lines[at]!)?.[1];
    if (language === undefined) continue;
    const end = lines.indexOf('```', at + 1);
    if (end < 0) throw new Error(`${document}:${at + 1}: the code block has no end`);
    fences.push({ language, text: `${lines.slice(at + 1, end).join('\n')}\n`, line: at + 1 });
    at = end;
  }
  return fences;
}

/** The blocks that begin with a comment that names a file, `// watch.mjs`, by that name. */
export function filesIn(document: string): Map<string, string> {
  const files = new Map<string, string>();
  for (const { text } of fencesOf(document)) {
    const name = /^\/\/ (\S+\.mjs)\n/.exec(text)?.[1];
    if (name !== undefined) files.set(name, text);
  }
  return files;
}

/** README.md and everything below docs/, relative to the repository. */
export function allDocuments(): string[] {
  const below = readdirSync('docs', { recursive: true, encoding: 'utf8' }).filter(
    (file) => file.endsWith('.md') && !file.includes('node_modules'),
  );
  return ['README.md', 'guest/README.md', ...below.map((file) => `docs/${file.replaceAll('\\', '/')}`)].sort();
}
