/** Reads a policy, and says where it is wrong. */
import { accessSync, constants, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import * as v from 'valibot';
import { errorText, PtmonError } from '../../core/error.ts';
import { isDevice, isFolder } from '../../driver/make-folder.ts';
import { type Broker, withAbsolutePaths } from './broker.ts';
import { ARCHIVE_POLICY, type ArchivePolicy, POLICY, type Policy } from './policy.ts';

/**
 * Paths in the policy are relative to its file.
 *
 * @throws PtmonError `bad-argument` where the file, or one that it names, cannot be read, or where it is no policy, with the place and the value
 */
export function readPolicy(path: string): Policy {
  const policy = parsePolicy(textOf(path), path);
  const absolute = absoluteFrom(path);
  const traces = policy.traces.map((trace) => ({ ...trace, file: absolute(trace.file) }));
  for (const [at, { file, name }] of traces.entries()) {
    checkFile(file, `${path}: traces[${at}].file`);
    const same = traces.findIndex((other) => other.file === file && other.name === name);
    if (same < at)
      throw refusal(`${path}: traces[${at}]: the same file and name as traces[${same}]: give it another name`);
  }
  const broker = policy.broker && brokerOf(policy.broker, path);
  return { ...policy, folder: absolute(policy.folder), traces, ...(broker && { broker }) };
}

/** The policy of an archiver. */
export function readArchivePolicy(path: string): ArchivePolicy {
  const policy = parse(ARCHIVE_POLICY, textOf(path), path);
  const absolute = absoluteFrom(path);
  return { ...policy, folder: absolute(policy.folder), broker: brokerOf(policy.broker, path) };
}

function brokerOf(broker: Broker, policyPath: string): Broker {
  const found = withAbsolutePaths(broker, absoluteFrom(policyPath));
  const { credentials, token, password, tls = {} } = found;
  const files = { credentials, token, password, 'tls.ca': tls.ca, 'tls.cert': tls.cert, 'tls.key': tls.key };
  for (const [key, file] of Object.entries(files))
    if (file !== undefined) checkFile(file, `${policyPath}: broker.${key}`);
  return found;
}

function absoluteFrom(policyPath: string): (name: string) => string {
  return (name) => resolve(dirname(policyPath), name);
}

/** @param place in the policy */
function checkFile(file: string, place: string): void {
  try {
    accessSync(file, constants.R_OK);
  } catch (error) {
    throw refusal(`${place}: ${unreadable(file, error)}`);
  }
  if (isFolder(file)) throw refusal(`${place}: ${file} is a folder`);
  if (isDevice(file)) throw refusal(`${place}: ${file} is a device, not a file`);
}

/** @param name of the text, for messages */
export function parsePolicy(text: string, name: string): Policy {
  return parse(POLICY, text, name);
}

function textOf(path: string): string {
  if (isDevice(path)) throw refusal(`${path} is a device, not a file`);
  try {
    // Editors of Windows begin a file with a byte-order mark.
    return readFileSync(path, 'utf8').replace(/^\uFEFF/, '');
  } catch (error) {
    throw refusal(unreadable(path, error));
  }
}

function unreadable(file: string, error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code ?? String(error);
  return `${file} ${code === 'ENOENT' ? 'does not exist' : `cannot be read (${code})`}`;
}

type Schema = typeof POLICY | typeof ARCHIVE_POLICY;

function parse<S extends Schema>(schema: S, text: string, name: string): v.InferOutput<S> {
  const outcome = v.safeParse(schema, parseJson(text, name));
  if (outcome.success) return outcome.output;
  throw refusal([...new Set(outcome.issues.map((issue) => `${name}: ${messageOf(issue)}`))].join('\n'));
}

function parseJson(text: string, name: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const message = errorText(error);
    const at = /position (\d+)/.exec(message);
    const before = text.slice(0, at === null ? text.length : Number(at[1])).split('\n');
    const place = `line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}`;
    throw refusal(`${name}: ${place}: not JSON (${message.replace(/ in JSON at position.*$| \(line .*\)$/s, '')})`);
  }
}

type Issue = v.InferIssue<typeof POLICY>;

function messageOf(issue: Issue): string {
  const place = placeOf(issue.path ?? []);
  const value = JSON.stringify(issue.input)?.slice(0, 60);
  if (issue.type === 'strict_object' && issue.expected === 'never') return `${place}: unknown key`;
  if (value === undefined) return `${place}: missing`;
  if (issue.kind === 'validation') return `${place}: ${value}: ${issue.message}`;
  const expected = (issue.expected ?? '')
    .replaceAll('"', '')
    .replace(/^\((.*)\)$/, '$1')
    .replaceAll(' | ', ', ');
  const choices = expected.includes(', ') ? `not one of ${expected}` : `expected ${expected}`;
  return `${place}: ${value}: ${choices.replace('expected Object', 'expected an object').replace('expected Array', 'expected a list')}`;
}

/** `rules[0].kinds[1]`. */
function placeOf(path: readonly { readonly key: unknown }[]): string {
  const place = path
    .map(({ key }) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`))
    .join('')
    .replace(/^\./, '');
  return place === '' ? 'the policy' : place;
}

function refusal(message: string): PtmonError {
  return new PtmonError('bad-argument', message);
}
