/**
 * `npm run test:kvm`: the tests of guests under KVM, on this machine's KVM where that works, else in a test bed, which is made where it is
 * missing (Debian's packages, about a minute; test/kvm/README.md). Arguments go to vitest.
 */
import { join } from 'node:path';
import process from 'node:process';
import { build, install, requireNode } from './prepare.mjs';
import { runChild, toolCommand } from './run-child.mjs';

requireNode();
process.chdir(join(import.meta.dirname, '..'));
await install();
await build('test', 'build/test/kvm/inside/main.js');
// The guest's own files; what is there is not made again.
const guest = await runChild([process.execPath, 'guest/build.mjs'], { output: 'capture' });
if (guest.code !== 0) process.stderr.write(guest.output);

const colour = process.stdout.isTTY ? [] : ['--no-color'];
const vitest = [...toolCommand('vitest'), 'run', '--project', 'kvm', ...colour, ...process.argv.slice(2)];
const { code } = await runChild(vitest, { env: { ...process.env, PTMON_KVM: 'required' } });
process.exitCode = code;
