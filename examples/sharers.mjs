/// <reference types="ptmon/script" />
// Who shares this frame? ptmon script examples/sharers.mjs -- PROGRAM|PID 0xADDRESS
const [program, address] = args;
const va = BigInt(address);
const owner = await guest.process(program);
const walk = await owner.walk(va);
if (!walk.translates) throw new Error(`${address} is not mapped in ${owner}: ${walk.reason}`);
const frame = walk.pa - (walk.pa % 4096);
console.log(`${owner} ${address} is in frame 0x${frame.toString(16)}`);

// One moment for all of them: while the guest is paused, nothing moves.
await guest.paused(async (moment) => {
  const { processes } = await (await moment.linux()).processes();
  for (const { command, pid, roots } of processes) {
    if (roots.length === 0) continue;
    const ranges = await moment.ranges(roots[0], { user: true, physical: { pa: frame, byteLength: 4096 } });
    for (const range of ranges) {
      const rights = `${range.rights.writable ? 'w' : 'r'}${range.rights.noExecute ? '-' : 'x'}`;
      console.log(`${command}[${pid}]  0x${(range.va + BigInt(frame - range.pa)).toString(16)}  ${rights}`);
    }
  }
});
