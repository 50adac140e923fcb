/** The policy of an agent: its defaults, and what is reported about one that is wrong. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { Vm } from '../../src/guest/discovery/list-vms.ts';
import { findVms } from '../../src/fleet/agent/found-vm.ts';
import { parsePolicy, readPolicy } from '../../src/fleet/policy/read-policy.ts';
import { isWanted, matchesName } from '../../src/linux/index.ts';

const SMALLEST = { version: 1, folder: 'data', rules: [{}] };

function problemsOf(policy: unknown): string[] {
  try {
    parsePolicy(typeof policy === 'string' ? policy : JSON.stringify(policy), 'p.json');
  } catch (error) {
    return (error as Error).message.split('\n');
  }
  return [];
}

test('the smallest policy watches all processes of all VMs by samples', () => {
  const [rule] = parsePolicy(JSON.stringify(SMALLEST), 'p.json').rules;
  expect(rule).toEqual({
    vms: ['*'],
    processes: ['*'],
    kinds: ['protection', 'root-gone'],
    mode: 'sample',
    intervalMs: 100,
  });
});

test.each([
  [{ ...SMALLEST, version: 2 }, 'p.json: version: 2: expected 1'],
  [{ ...SMALLEST, folder: undefined }, 'p.json: folder: missing'],
  [{ ...SMALLEST, folder: 5 }, 'p.json: folder: 5: expected string'],
  [{ ...SMALLEST, folder: '' }, 'p.json: folder: "": an empty text'],
  [
    { ...SMALLEST, folder: 's3://b/e' },
    'p.json: folder: "s3://b/e": an address, not a folder: ptmon writes to a file system',
  ],
  [{ ...SMALLEST, rules: [] }, 'p.json: rules: []: an empty list: no VM would be watched'],
  [{ ...SMALLEST, rules: {} }, 'p.json: rules: {}: expected a list'],
  [{ ...SMALLEST, rule: [] }, 'p.json: rule: unknown key'],
  [{ ...SMALLEST, rules: [{ mode: 'x' }] }, 'p.json: rules[0].mode: "x": not one of auto, exact, sample'],
  [
    { ...SMALLEST, rules: [{}, { kinds: ['protection', 'page'] }] },
    'p.json: rules[1].kinds[1]: "page": not one of protection, restructure, root-gone',
  ],
  [{ ...SMALLEST, rules: [{ intervalMs: 0 }] }, 'p.json: rules[0].intervalMs: 0: not an integer from 1 to 3600000'],
  [{ ...SMALLEST, rules: [{ intervalMs: 1.5 }] }, 'p.json: rules[0].intervalMs: 1.5: not an integer from 1 to 3600000'],
  [{ ...SMALLEST, rules: [{ map: '0x12z' }] }, 'p.json: rules[0].map: "0x12z": not a hexadecimal address'],
  [{ ...SMALLEST, fileMiB: 0.5 }, 'p.json: fileMiB: 0.5: not an integer from 1 to 1024'],
  [{ ...SMALLEST, http: { port: 70_000 } }, 'p.json: http.port: 70000: not an integer from 0 to 65535'],
  [{ ...SMALLEST, traces: [{ file: 'a', speed: 0 }] }, 'p.json: traces[0].speed: 0: must be positive'],
  ...['tsl://broker:4222', 'http://broker', 'nats://user:secret@broker', 'nats://', 'broker:4222/x', 'a b'].map(
    (server): [object, string] => [
      { ...SMALLEST, broker: { servers: ['tls://[::1]:4222', 'broker', server] } },
      `p.json: broker.servers[2]: "${server}": not HOST:PORT, nats://HOST:PORT or tls://HOST:PORT`,
    ],
  ),
  [5, 'p.json: the policy: 5: expected an object'],
  ['{"version": 1,\n "folder" 5}', 'p.json: line 2, column 11: not JSON'],
])('%j: %s', (policy, problem) => {
  const problems = problemsOf(policy);
  expect(problems).toHaveLength(1);
  expect(problems[0]).toContain(problem);
});

test('all that is wrong is reported at once', () => {
  expect(problemsOf({ version: 1, folder: 1, rules: [{ vms: [] }] })).toEqual([
    'p.json: folder: 1: expected string',
    'p.json: rules[0].vms: []: an empty list',
  ]);
});

test('paths are relative to the policy', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ptmon-policy-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'p.json');
  writeFileSync(path, `\uFEFF${JSON.stringify({ ...SMALLEST, traces: [{ file: 'a.trace' }] })}`);
  writeFileSync(join(folder, 'a.trace'), '');
  expect(readPolicy(path)).toMatchObject({ folder: join(folder, 'data'), traces: [{ file: join(folder, 'a.trace') }] });
  expect(() => readPolicy(join(folder, 'none'))).toThrow('none does not exist');
});

test('a file that a policy names and that cannot be read is named, with its place', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ptmon-policy-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'p.json');
  const broker = { servers: ['tls://broker:4222'] };
  const cases: [policy: object, place: string][] = [
    [{ traces: [{ file: 'none' }] }, 'traces[0].file'],
    [{ broker: { ...broker, token: 'none' } }, 'broker.token'],
    [{ broker: { ...broker, tls: { ca: 'none' } } }, 'broker.tls.ca'],
  ];
  for (const [more, place] of cases) {
    writeFileSync(path, JSON.stringify({ ...SMALLEST, ...more }));
    expect(() => readPolicy(path)).toThrow(`${path}: ${place}: ${join(folder, 'none')} does not exist`);
    writeFileSync(path, JSON.stringify({ ...SMALLEST, ...more }).replace('"none"', '"."'));
    expect(() => readPolicy(path)).toThrow(`${path}: ${place}: ${folder} is a folder`);
    writeFileSync(path, JSON.stringify({ ...SMALLEST, ...more }).replace('"none"', '"/dev/zero"'));
    expect(() => readPolicy(path)).toThrow(`${path}: ${place}: /dev/zero is a device, not a file`);
  }
  expect(() => readPolicy('/dev/zero')).toThrow('/dev/zero is a device, not a file');
});

test('a recording that a policy has twice needs two names', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ptmon-policy-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const [path, file] = [join(folder, 'p.json'), join(folder, 'a.trace')];
  writeFileSync(file, '');
  const policyWith = (second: object) =>
    writeFileSync(path, JSON.stringify({ ...SMALLEST, traces: [{ file: 'a.trace' }, second] }));
  for (const second of [{ file: 'a.trace' }, { file, name: 'a' }, { file: './a.trace', speed: 2 }]) {
    policyWith(second);
    expect(() => readPolicy(path)).toThrow(
      `${path}: traces[1]: the same file and name as traces[0]: give it another name`,
    );
  }
  policyWith({ file, name: 'b' });
  expect(findVms(readPolicy(path), () => []).map(({ name }) => name)).toEqual(['a', 'b']);
});

test('the first rule that names a VM decides, and a VM that none names is not watched', () => {
  const vm = (name: string, qmp?: string) =>
    ({ pid: 1, name, qmp, gdb: undefined, missing: ['-qmp unix:PATH'] }) as unknown as Vm;
  const rules = [{ vms: ['web-*'], processes: ['nginx'] }, { vms: ['web-1', 'db'] }];
  const policy = parsePolicy(JSON.stringify({ ...SMALLEST, rules, traces: [{ file: '/x/db.trace' }] }), 'p.json');
  const found = findVms(policy, () => [vm('web-1', 'unix:/q'), vm('mail', 'unix:/q'), vm('db')]);
  expect(
    found.map(({ name, rule, target, problem }) => [name, policy.rules.indexOf(rule), target?.kind, problem]),
  ).toEqual([
    ['web-1', 0, 'live', undefined],
    ['db', 1, undefined, 'no QMP socket: start QEMU with -qmp unix:PATH'],
    ['db', 1, 'trace', undefined],
  ]);
});

test.each([
  ['*', 'anything', true],
  ['*', '', true],
  ['web-*', 'web-', true],
  ['web-*', 'my-web-1', false],
  ['*-db', 'web-db', true],
  ['a*a', 'a', false],
  ['a*b*c', 'a-b-b-c', true],
  ['a*b*c', 'a-c-b', false],
  ['a.c', 'abc', false],
  ['nginx', 'nginx', true],
  ['nginx', 'nginx2', false],
])('%s matches %s: %s', (pattern, name, expected) => {
  expect(matchesName(pattern, name)).toBe(expected);
});

test('a name of a process is compared as Linux keeps it', () => {
  const by = { commands: ['a-name-that-is-longer', 'php-*'] };
  expect(isWanted({ by }, { pid: 1, command: 'a-name-that-is-' })).toBe(true);
  expect(isWanted({ by }, { pid: 1, command: 'php-fpm' })).toBe(true);
  expect(isWanted({ by }, { pid: 1, command: 'sh' })).toBe(false);
});
