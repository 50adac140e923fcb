/**
 * `npm run test:kvm`: the tests of guests under KVM, on this machine's KVM where that works, else in a test bed, which is made where it is
 * missing (Debian's packages, about a minute; test/kvm/README.md). Arguments go to vitest.
 *
 * `npm run kvm:report` (--report) runs them on this machine's KVM or not at all, with more than 2,000 changes for each number of vCPUs, and
 * leaves what they printed in a file to send (docs/kvm-on-your-machine.md).
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { answerHelp } from './help.mjs';
import { build, install, requireNode } from './prepare.mjs';
import { runChild, toolCommand } from './run-child.mjs';

answerHelp(import.meta.filename);
requireNode();
process.chdir(join(import.meta.dirname, '..'));
await install();
await build('test', 'build/test/kvm/inside/main.js');
// The guest's own files; what is there is not made again.
const guest = await runChild([process.execPath, 'guest/build.mjs'], { output: 'capture' });
if (guest.code !== 0) process.stderr.write(guest.output);

const REPORT = 'ptmon-kvm-report.txt';
const isReport = process.argv.includes('--report');
const args = process.argv.slice(2).filter((argument) => argument !== '--report');
const look = process.stdout.isTTY && !isReport ? [] : ['--no-color'];
const wish = isReport ? { PTMON_KVM: 'host', PTMON_KVM_TIMES: '7' } : { PTMON_KVM: 'required' };
const vitest = [...toolCommand('vitest'), 'run', '--project', 'kvm', ...look, ...args];
const { code, output } = await runChild(vitest, {
  env: { ...process.env, ...wish },
  output: isReport ? 'stderr' : 'inherit',
});
if (isReport) {
  writeFileSync(REPORT, output);
  process.stderr.write(`\nThe report is in ${REPORT}.\n`);
}
process.exitCode = code;
