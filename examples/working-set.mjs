/// <reference types="ptmon/script" />
// How much memory does a program use? Counts, area by area, the pages that are mapped and those that the processor has accessed since
// Linux last cleared their accessed bits. ptmon script examples/working-set.mjs -- PROGRAM|PID
const ACCESSED = 1n << 5n;
const target = await guest.process(args[0] ?? 'workload');
const { areas } = await target.maps();
const root = await target.root();

// One moment for all of it.
await guest.paused(async (moment) => {
  const memory = moment.memoryOf(root);
  let [mapped, accessed] = [0, 0];
  for (const { start, end, name } of areas) {
    let [present, used] = [0, 0];
    for (let va = start; va < end; ) {
      const walk = await memory.walk(va);
      const size = walk.translates ? walk.pageSize : 4096;
      if (walk.translates) {
        present += size / 4096;
        if (walk.steps.at(-1).value & ACCESSED) used += size / 4096;
      }
      va += BigInt(size) - (va % BigInt(size));
    }
    if (present > 0)
      console.log(`${String(used).padStart(6)} of ${String(present).padStart(6)} pages  ${name || 'anon'}`);
    [mapped, accessed] = [mapped + present, accessed + used];
  }
  console.log(`${accessed * 4} KiB accessed of ${mapped * 4} KiB mapped: ${target}`);
});
