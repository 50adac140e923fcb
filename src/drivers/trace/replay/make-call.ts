/** Makes a recorded call again. */
import type { StepwiseCall } from '../../../driver/carry-out.ts';
import type { WatchCall, WatchTarget } from '../../../driver/watch-calls.ts';

/** Returns a call that may take long, for the caller to carry out. */
export function makeCall(target: WatchTarget, call: WatchCall): StepwiseCall<unknown> | undefined {
  switch (call.kind) {
    case 'monitor':
      target.monitor(call);
      return undefined;
    case 'monitorRange':
      return target.monitorRangeInSteps(call);
    case 'unmonitor':
      target.unmonitor(call);
      return undefined;
    case 'unmonitorRange':
      return target.unmonitorRangeInSteps(call);
    case 'unmonitorByForce':
      target.unmonitorByForce(call);
      return undefined;
    case 'unmonitorView':
      return target.unmonitorViewInSteps(call.view ?? 0);
    case 'unmonitorAll':
      return target.unmonitorAllInSteps();
    case 'rootGone':
      return target.rootGoneInSteps(call.root, call.view);
    case 'resync':
      return target.resyncInSteps(call.view);
  }
}
