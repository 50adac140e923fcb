/** Runs an agent until a signal ends it. */
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { errorText } from '../../../core/error.ts';
import { Agent } from '../../../fleet/agent/agent.ts';
import { findVms } from '../../../fleet/agent/found-vm.ts';
import { serveStatus } from '../../../fleet/agent/status-server.ts';
import type { Policy } from '../../../fleet/policy/policy.ts';
import { readPolicy } from '../../../fleet/policy/read-policy.ts';
import { printable } from '../../../sinks/printable.ts';
import type { CommandContext } from '../../context.ts';
import { columns } from '../../output/columns.ts';
import { printStatus } from '../../output/status-lines.ts';
import { EXIT_OK } from '../../exit/exit-codes.ts';

export interface AgentCommandOptions {
  readonly config: string;
  readonly check?: boolean;
  readonly list?: boolean;
}

const MAIN = fileURLToPath(new URL('../../main.js', import.meta.url));

/** @throws PtmonError `bad-argument` for a policy that is invalid */
export async function runAgent(options: AgentCommandOptions, context: CommandContext): Promise<void> {
  const policy = readPolicy(options.config);
  const { output, messages, exit } = context;
  if (options.check === true) return output.write(`${JSON.stringify(policy, null, 2)}\n`);
  if (options.list === true) return output.write(listText(policy, context));
  const log = (line: string) => void printStatus(messages, line);
  const signals = catchSignals();
  const agent = new Agent({
    policy,
    program: MAIN,
    log,
    ...(context.vms !== undefined && { list: context.vms }),
  });
  try {
    const server = policy.http && (await serveStatus(policy.http.port, () => agent.status));
    if (server !== undefined) log(`Listening on 127.0.0.1:${server.port}: /healthz, /metrics.`);
    await agent.start();
    const { broker, format } = policy;
    const folder = format === 'parquet' ? agent.archiveFolder : agent.journalFolder;
    log(
      broker === undefined ? `Writing to ${folder}.` : `Writing to ${agent.journalFolder}, from there to the broker.`,
    );
    while ((await signals.next()) === 'reload') reload(agent, options.config, log);
    await server?.close();
  } finally {
    await agent.stop();
    signals.release();
  }
  exit(EXIT_OK);
}

/** A policy that is invalid leaves the one before in force. */
function reload(agent: Agent, path: string, log: (line: string) => void): void {
  try {
    const unheeded = agent.reload(readPolicy(path));
    log([`${path} is in force.`, ...unheeded].join(' '));
  } catch (error) {
    log(`${errorText(error)}\nThe previous policy stays in force.`);
  }
}

function listText(policy: Policy, { vms }: CommandContext): string {
  const found = findVms(policy, vms);
  if (found.length === 0) return 'no VM fits a rule\n';
  const rows = found.map(({ name, rule, target, problem = '' }) => [
    printable(name),
    `rules[${policy.rules.indexOf(rule)}]`,
    target === undefined ? '-' : target.kind === 'trace' ? 'recording' : rule.mode,
    target === undefined ? printable(problem) : '',
  ]);
  return `${columns([['vm', 'rule', 'watch', 'problem'], ...rows], { gap: 2 }).join('\n')}\n`;
}

/** A second signal that ends the agent ends it at once. */
function catchSignals() {
  const waiting: ('reload' | 'end')[] = [];
  let wake: (() => void) | undefined;
  let isEnding = false;
  const add = (what: 'reload' | 'end') => {
    if (what === 'end' && isEnding) process.exit(1);
    if (what === 'end') isEnding = true;
    waiting.push(what);
    wake?.();
  };
  const [reloads, ends] = [() => add('reload'), () => add('end')];
  process.on('SIGHUP', reloads).on('SIGTERM', ends).on('SIGINT', ends);
  return {
    async next(): Promise<'reload' | 'end'> {
      while (waiting.length === 0) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      return waiting.shift()!;
    },
    release() {
      process.off('SIGHUP', reloads).off('SIGTERM', ends).off('SIGINT', ends);
    },
  };
}
