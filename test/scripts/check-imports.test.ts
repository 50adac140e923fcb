import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';

const SCRIPT = join(import.meta.dirname, '../../scripts/check-imports.mjs');

/** Checks a tree of these files, relative to its src/. */
function check(files: Iterable<readonly [file: string, source: string, ...unknown[]]>): {
  code: number | null;
  lines: string[];
} {
  const root = mkdtempSync(join(tmpdir(), 'ptmon-imports-'));
  try {
    for (const [file, source] of files) {
      const path = join(root, file.startsWith('../') ? '' : 'src', file.replace(/^\.\.\//, ''));
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, source);
    }
    const { status, stdout } = spawnSync(process.execPath, [SCRIPT, root], { encoding: 'utf8' });
    return { code: status, lines: stdout.trimEnd().split('\n') };
  } finally {
    rmSync(root, { recursive: true });
  }
}

describe('the direction of imports', () => {
  const forbidden: [file: string, source: string, line: number, why: string][] = [
    ['core/error.ts', `import '../driver/driver.ts';`, 1, 'core/error.ts may not import driver/driver.ts'],
    ['core/index.ts', `export { a } from '../session/index.ts';`, 1, 'core/ may not import session/index.ts'],
    ['core/address/va.ts', `import { a } from '../memory/a.ts';`, 1, 'core/address/ may not import core/memory/a.ts'],
    ['core/memory/a.ts', `import { a } from '../paging/a.ts';`, 1, 'core/memory/ may not import core/paging/a.ts'],
    ['core/paging/a.ts', `import { a } from '../monitor/a.ts';`, 1, 'core/paging/ may not import core/monitor/a.ts'],
    ['core/struct/a.ts', `import { a } from '../monitor/a.ts';`, 1, 'core/struct/ may not import core/monitor/a.ts'],
    ['core/monitor/a.ts', `import { a } from '../index.ts';`, 1, 'core/monitor/ may not import core/index.ts'],
    ['core/monitor/b.ts', `import a from '../../testing/a.ts';`, 1, 'core/monitor/ may not import testing/a.ts'],
    [
      'driver/a.ts',
      `\nimport type {\n  A,\n} from '../core/monitor/a.ts';`,
      4,
      'driver/ may not import core/monitor/a.ts',
    ],
    ['driver/b.ts', `import { a } from '../core/index.ts';`, 1, 'driver/ may not import core/index.ts'],
    ['testing/a.ts', `import '../core/monitor/a.ts';`, 1, 'testing/ may not import core/monitor/a.ts'],
    ['testing/b.ts', `import { a } from '../drivers/qemu/a.ts';`, 1, 'testing/ may not import drivers/qemu/a.ts'],
    ['drivers/ramfile/a.ts', `import '../qemu/a.ts';`, 1, 'drivers/ramfile/ may not import drivers/qemu/a.ts'],
    ['drivers/qemu/a.ts', `import '../../testing/a.ts';`, 1, 'drivers/qemu/ may not import testing/a.ts'],
    ['testing/c.ts', `import { a } from '../session/a.ts';`, 1, 'testing/ may not import session/a.ts'],
    ['session/a.ts', `import { a } from '../testing/a.ts';`, 1, 'session/ may not import testing/a.ts'],
    ['session/b.ts', `import { a } from '../sinks/jsonl.ts';`, 1, 'session/ may not import sinks/jsonl.ts'],
    ['session/c.ts', `const a = await import('../cli/main.ts');`, 1, 'session/ may not import cli/main.ts'],
    ['sinks/a.ts', `import { a } from '../session/a.ts';`, 1, 'sinks/ may not import session/a.ts'],
    ['sinks/b.ts', `import { a } from '../driver/driver.ts';`, 1, 'sinks/ may not import driver/driver.ts'],
    ['sinks/c.ts', `import { a } from '../core/monitor/a.ts';`, 1, 'sinks/ may not import core/monitor/a.ts'],
    ['index.ts', `export { a } from './cli/main.ts';`, 1, 'index.ts may not import cli/main.ts'],
    ['cli/a.ts', `import { a } from '../../test/a.ts';`, 1, 'imports "../../test/a.ts", which is outside src/'],
    ['cli/b.ts', `import { a } from 'ptmon/core';`, 1, 'imports its own package as "ptmon/core"'],
    ['elsewhere/a.ts', ``, 1, 'is in no part'],
  ];
  const { code, lines } = check(forbidden);

  test.each(forbidden)('%s: %j', (file, _source, line, why) => {
    expect(lines.filter((fault) => fault.startsWith(`src/${file}:`))).toEqual([
      expect.stringContaining(`src/${file}:${line}: ${why}`),
    ]);
  });

  test('the check fails', () => {
    expect(code).toBe(1);
    expect(lines).toHaveLength(forbidden.length);
  });

  test('what is right passes', () => {
    const allowed: [file: string, source: string][] = [
      ['core/monitor/a.ts', `import { a } from '../struct/a.ts';\nimport { b } from './b.ts';`],
      ['core/index.ts', `export { a } from './monitor/a.ts';`],
      ['core/a.ts', `// import '../cli/main.ts'\n/* from '../cli/main.ts' */\nconst a = 'it is from home';`],
      ['driver/driver.ts', `import { a } from '../core/paging/a.ts';`],
      ['testing/a.ts', `import { a } from '../driver/driver.ts';\nimport fs from 'node:fs';`],
      ['drivers/qemu/memory/a.ts', `import { a } from '../../ramfile/index.ts';\nimport { b } from '../qmp/index.ts';`],
      ['session/a.ts', `import { a } from '../core/index.ts';\nimport type { Sink } from '../sinks/sink.ts';`],
      ['sinks/a.ts', `import type { MonitorEvent } from '../core/monitor/events.ts';`],
      ['cli/main.ts', `import { a } from '../drivers/sim/index.ts';\nimport { b } from 'commander';`],
    ];
    expect(check(allowed)).toEqual({ code: 0, lines: [`${allowed.length} files import only what they may`] });
  });
});

describe('the core is synchronous and without I/O', () => {
  const forbidden: [file: string, source: string, line: number, why: string][] = [
    ['core/a.ts', `import { readFileSync } from 'node:fs';`, 1, 'the core imports "node:fs"'],
    ['core/b.ts', `import ansis from 'ansis';`, 1, 'the core imports "ansis"'],
    ['core/c.ts', `\n\nexport async function a() {}`, 3, 'the core uses async'],
    ['core/d.ts', `for await (const a of b) c();`, 1, 'the core uses await'],
    ['core/e.ts', `/**\n * two lines\n */\nexport let a: Promise<void>;`, 4, 'the core uses Promise'],
    ['core/f.ts', `setTimeout(() => {}, 1);`, 1, 'the core uses setTimeout'],
    ['core/g.ts', 'const a = `b\n${c}`;\nqueueMicrotask(d);', 3, 'the core uses queueMicrotask'],
  ];
  const { code, lines } = check(forbidden);

  test.each(forbidden)('%s: %j', (file, _source, line, why) => {
    expect(lines.filter((fault) => fault.startsWith(`src/${file}:`))).toEqual([
      expect.stringContaining(`src/${file}:${line}: ${why}`),
    ]);
    expect(code).toBe(1);
  });

  test('elsewhere it may be otherwise', () => {
    expect(check([['session/a.ts', `import 'node:fs';\nawait setTimeout(1);`]]).code).toBe(0);
  });
});

describe('import circles', () => {
  test.each([
    ['values', [`import { b } from './b.ts';`, `import { a } from './a.ts';`]],
    ['types alone', [`import type { B } from './b.ts';`, `import type { A } from './a.ts';`]],
    ['a re-export', [`export * from './b.ts';`, `import { a } from './a.ts';`]],
    ['a lazy import', [`const b = () => import('./b.ts');`, `import type { A } from './a.ts';`]],
  ])('of %s', (_what, [a, b]) => {
    const { code, lines } = check([
      ['session/a.ts', `\n${a}`],
      ['session/b.ts', b!],
    ]);
    expect(lines).toEqual([
      'src/session/a.ts:2: imports in a circle: src/session/a.ts -> src/session/b.ts -> src/session/a.ts',
    ]);
    expect(code).toBe(1);
  });

  test('one report for each group of files, in every folder', () => {
    const { lines } = check([
      ['session/a.ts', `import './b.ts';`],
      ['session/b.ts', `import './c.ts';\nimport './a.ts';`],
      ['session/c.ts', `import './a.ts';`],
      ['session/d.ts', `import './a.ts';`],
      ['session/self.ts', `import './self.ts';`],
      ['../bench/a.ts', `import './b.ts';`],
      ['../bench/b.ts', `import './a.ts';`],
      ['../scripts/a.mjs', `import './b.mjs';`],
      ['../scripts/b.mjs', `import './a.mjs';`],
    ]);
    expect(lines).toEqual([
      'src/session/a.ts:1: imports in a circle: src/session/a.ts -> src/session/b.ts -> src/session/a.ts',
      'src/session/self.ts:1: imports in a circle: src/session/self.ts -> src/session/self.ts',
      'bench/a.ts:1: imports in a circle: bench/a.ts -> bench/b.ts -> bench/a.ts',
      'scripts/a.mjs:1: imports in a circle: scripts/a.mjs -> scripts/b.mjs -> scripts/a.mjs',
    ]);
  });
});

describe('the size of the house', () => {
  /** Files `1.ts` to `count.ts`, each of which imports the next. */
  const chain = (count: number): [file: string, source: string][] =>
    Array.from({ length: count }, (_, n) => [
      `core/monitor/${n + 1}.ts`,
      n + 1 < count ? `import './${n + 2}.ts';\nimport '../error.ts';` : '',
    ]);

  test('the monitor stands on at most six floors', () => {
    expect(check([...chain(6), ['core/error.ts', '']]).code).toBe(0);
    expect(check([...chain(7), ['core/error.ts', '']]).lines).toEqual([
      expect.stringMatching(
        /^src\/core\/monitor\/: stands on 7 floors, at most 6: src\/core\/monitor\/1\.ts -> .*7\.ts$/,
      ),
    ]);
  });

  test('a folder has at most 14 files', () => {
    const files = (count: number): [file: string, source: string][] =>
      Array.from({ length: count }, (_, n) => [`session/${n}.ts`, '']);
    expect(check([...files(14), ['session/room/a.ts', '']]).code).toBe(0);
    expect(check(files(15)).lines).toEqual([
      'src/session: has 15 files, at most 14; move some to a folder of their own',
    ]);
  });
});
