import { openSession } from 'ptmon';
import { createSimDriver } from 'ptmon/testing';

const driver = createSimDriver({ seed: 7, steps: 40 });
const session = await openSession({ driver, onBatch: () => driver.guest.processes.forEach(watch) });
function watch({ name, pid, roots: [root] }) {
  const range = { root, va: 0x1000, byteLength: 0x7fff_ffff_e000 };
  if (session.monitor.state(range)) return;
  session.monitor.monitorRange({ ...range, tag: `${name}[${pid}]`, runs: true });
}
for await (const { kind, va, pa, tags } of session) console.log(kind, tags[0], va.toString(16), '->', pa.toString(16));
