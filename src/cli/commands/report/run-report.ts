/** Writes a report: the scene of a trace or of dumps as one HTML file. */
import { closeSync, writeFileSync } from 'node:fs';
import { openOutputFile } from '../../../driver/output-file.ts';
import { reportHtml } from '../../../web/report/report-html.ts';
import type { Streams } from '../../context.ts';
import { printStatus } from '../../output/status-lines.ts';
import { choiceOf, openFiles, type SpaceOptions } from '../../web/open-scene.ts';

export interface ReportOptions extends SpaceOptions {
  readonly output: string;
  readonly force?: boolean;
}

const START = '<!doctype html>';

/** @throws PtmonError as `openFiles` and `reportHtml`; `bad-argument` where the file must not be overwritten */
export async function runReport(
  paths: readonly string[],
  options: ReportOptions,
  { output, messages }: Streams,
  signal: AbortSignal,
): Promise<void> {
  const source = await openFiles(paths, choiceOf(options), signal);
  let html: string;
  try {
    html = reportHtml(source.scene());
  } finally {
    await source.close();
  }
  if (options.output === '-') {
    await output.write(html);
    await output.flush();
    return;
  }
  const isOwn = (start: Uint8Array) => Buffer.from(start).toString('latin1').startsWith(START);
  const file = openOutputFile(options.output, { isOwn, own: 'an HTML page', force: options.force === true });
  try {
    writeFileSync(file, html);
  } finally {
    closeSync(file);
  }
  await printStatus(messages, `${options.output}: ${(Buffer.byteLength(html) / 1000).toFixed(0)} KB`);
}
