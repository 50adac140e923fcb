/** Makes a recorded call again. */
import type { WatchCall, WatchTarget } from '../../../driver/watch-calls.ts';

export function makeCall(target: WatchTarget, call: WatchCall): void {
  switch (call.kind) {
    case 'monitor':
      return target.monitor(call);
    case 'monitorRange':
      return target.monitorRange(call);
    case 'unmonitor':
      return void target.unmonitor(call);
    case 'unmonitorRange':
      return void target.unmonitorRange(call);
    case 'unmonitorByForce':
      return void target.unmonitorByForce(call);
    case 'unmonitorView':
      return target.unmonitorView(call.view ?? 0);
    case 'unmonitorAll':
      return target.unmonitorAll();
    case 'rootGone':
      return void target.rootGone(call.root, call.view);
    case 'resync':
      return void target.resync(call.view);
  }
}
