/** What the tests with a real broker need. */
import { execFileSync } from 'node:child_process';

/** What is missing; undefined where nothing is. */
export function missingForBroker(): string | undefined {
  const missing = ['nats-server', 'openssl'].filter((program) => {
    try {
      execFileSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' });
      return false;
    } catch {
      return true;
    }
  });
  return missing.length === 0
    ? undefined
    : `not installed: ${missing.join(', ')} (apt-get install nats-server openssl)`;
}
