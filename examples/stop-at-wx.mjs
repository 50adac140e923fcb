/// <reference types="ptmon/script" />
// Stops the guest when a page of a program becomes writable and executable, and leaves it stopped for a debugger.
// ptmon script examples/stop-at-wx.mjs -- PROGRAM|PID
const target = await guest.process(args[0] ?? 'workload');
const isWx = ({ translates, rights }) => translates && rights.writable && !rights.noExecute;

const watch = await target.watch(undefined, { kinds: ['protection'] });
console.log(`${target} is watched`);
for await (const { kind, va, map } of watch) {
  if (kind !== 'page-in' && kind !== 'protection') continue;
  if (!isWx(await target.walk(va))) continue;
  console.log(`${va.toString(16)} (${map ?? '?'}) of ${target} is writable and executable: the guest is stopped`);
  console.log('gdb: target remote SOCKET; to go on: "cont" in the monitor of QEMU');
  await guest.close({ leaveStopped: true });
  break;
}
