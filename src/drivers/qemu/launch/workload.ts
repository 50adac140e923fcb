/** The host's end of the workload's control port: a command at a time, its reports, and whether it went well. */
import { PtmonError } from '../../../core/error.ts';
import type { SerialPort } from './serial-port.ts';
import { parseHello, parseReport, type WorkloadHello, type WorkloadReport } from './workload-report.ts';

/** How long a command may take if its caller does not say. Emulated guests are slow, and slower when watched. */
const COMMAND_TIMEOUT_MS = 60_000;

/** What the workload's buffer holds. */
const COMMAND_BYTE_LENGTH = 1022;

/** The workload that answers one of these is gone; the next one, if there is one, says hello. */
const LAST_COMMANDS = new Set(['exit', 'reboot', 'poweroff', 'panic']);

interface Pending {
  readonly command: string;
  readonly reports: WorkloadReport[];
  readonly onReport: ((report: WorkloadReport) => void) | undefined;
  readonly resolve: (reports: readonly WorkloadReport[]) => void;
  readonly reject: (error: unknown) => void;
}

export interface CommandOptions {
  /** Milliseconds of the host's clock; the guest may be stopped meanwhile. */
  readonly timeoutMs?: number;
  /** Called with each report as it comes, also for one that the answer will contain. */
  readonly onReport?: (report: WorkloadReport) => void;
}

/** Sends commands to the workload in the guest and collects its reports. `guest/README.md` lists the commands. */
export class Workload {
  readonly port: SerialPort;
  #pending: Pending | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #hello: WorkloadHello | undefined;
  #waiting: { resolve: (hello: WorkloadHello) => void; reject: (error: unknown) => void }[] = [];
  #lost: PtmonError | undefined;

  constructor(port: SerialPort) {
    this.port = port;
    port.onLine((line) => this.#line(line));
  }

  /** What the running workload has said of itself; undefined before the first and between one's end and the next one's start. */
  get hello(): WorkloadHello | undefined {
    return this.#hello;
  }

  /** The running workload's hello, or the next one's. @throws PtmonError `source-unavailable` where the guest is lost */
  async ready(): Promise<WorkloadHello> {
    if (this.#lost !== undefined) throw this.#lost;
    if (this.#hello !== undefined) return this.#hello;
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
    });
  }

  /**
   * Has the workload carry out one command, after those that were given before; resolves with what it reported.
   *
   * @throws PtmonError `bad-argument` where the workload refuses the command or it fails in the guest,
   *   `source-unavailable` where the guest is lost or has not answered in time,
   *   `corrupt-input` where its words make no sense
   */
  async command(command: string, options: CommandOptions = {}): Promise<readonly WorkloadReport[]> {
    if (command.includes('\n') || Buffer.byteLength(command) > COMMAND_BYTE_LENGTH) {
      throw new PtmonError('bad-argument', `a command is one line of at most ${COMMAND_BYTE_LENGTH} bytes`);
    }
    const turn = this.#turn.then(() => this.#send(command, options));
    this.#turn = turn.catch(() => {});
    return turn;
  }

  /** The guest is gone: every waiting call fails with this. */
  lose(error: PtmonError): void {
    this.#lost ??= error;
    this.#hello = undefined;
    this.#pending?.reject(this.#lost);
    this.#pending = undefined;
    for (const { reject } of this.#waiting.splice(0)) reject(this.#lost);
  }

  async #send(command: string, options: CommandOptions): Promise<readonly WorkloadReport[]> {
    const { timeoutMs = COMMAND_TIMEOUT_MS, onReport } = options;
    // What came after this would answer the wrong question.
    const timer = setTimeout(() => {
      const why = `the guest has not answered "${command}" within ${timeoutMs} ms`;
      this.lose(new PtmonError('source-unavailable', why));
    }, timeoutMs);
    try {
      // A command to a workload that is about to start would wait in the port, and the hello come in its answer.
      await this.ready();
      return await new Promise<readonly WorkloadReport[]>((resolve, reject) => {
        this.#pending = { command, reports: [], onReport, resolve, reject };
        // The port is of bytes, a character each.
        this.port.write(Buffer.from(`${command}\n`).toString('latin1'));
      });
    } finally {
      clearTimeout(timer);
    }
  }

  #line(line: string): void {
    if (line === '' || this.#lost !== undefined) return;
    try {
      this.#report(parseReport(line));
    } catch (error) {
      this.lose(
        error instanceof PtmonError ? error : new PtmonError('corrupt-input', String(error), {}, { cause: error }),
      );
    }
  }

  #report(report: WorkloadReport): void {
    const fields = report.kind === 'other' ? report.fields : {};
    if (report.op === 'hello') this.#greet(parseHello(fields));
    if (report.op === 'ended') this.#ended(fields);
    const pending = this.#pending;
    if (pending === undefined || report.op === 'ended') return;
    if (report.op === 'done' || report.op === 'error') {
      this.#pending = undefined;
      if (LAST_COMMANDS.has(pending.command)) this.#hello = undefined;
      if (report.op === 'done') pending.resolve(pending.reports);
      else
        pending.reject(
          new PtmonError('bad-argument', `the guest's answer to "${pending.command}": ${String(fields['error'])}`),
        );
      return;
    }
    pending.reports.push(report);
    pending.onReport?.(report);
  }

  #greet(hello: WorkloadHello): void {
    this.#hello = hello;
    for (const { resolve } of this.#waiting.splice(0)) resolve(hello);
  }

  /** The first process says so when the workload has ended, of itself or by a signal. */
  #ended(fields: Readonly<Record<string, unknown>>): void {
    this.#hello = undefined;
    const pending = this.#pending;
    this.#pending = undefined;
    const how = `the workload ended with status ${String(fields['status'])}`;
    pending?.reject(new PtmonError('bad-argument', `the guest's answer to "${pending.command}": ${how}`));
  }
}
