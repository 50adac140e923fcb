import { createSimDriver, openSession } from 'ptmon';

const driver = createSimDriver({ seed: 7, steps: 40 });
const session = await openSession({ driver });
driver.guest.observe({
  action: ({ action, pid, name }) => {
    const root = driver.guest.processes.find((process) => process.pid === pid)?.roots[0];
    if (root === undefined || !['spawn', 'fork'].includes(action)) return;
    session.monitor.monitorRange({
      root,
      va: 0x1000,
      byteLength: 0x7fff_ffff_e000,
      tag: `${name}[${pid}]`,
      runs: true,
    });
  },
});
for await (const { kind, va, pa, pages, tags } of session)
  console.log(kind, tags[0], `0x${va.toString(16)} -> 0x${pa.toString(16)}`, pages);
