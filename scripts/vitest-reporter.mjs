/**
 * vitest's default reporter without its line for each file, so that what failed is on one screen; and the counts, as
 * JSON, in the file that PTMON_TEST_COUNTS names.
 */
import { writeFileSync } from 'node:fs';
import process from 'node:process';
import { DefaultReporter } from 'vitest/node';

export default class CountingReporter extends DefaultReporter {
  /** @override */
  printTestModule() {}

  /**
   * @override
   * @param {readonly import('vitest/node').TestModule[]} testModules
   * @param {Parameters<DefaultReporter['onTestRunEnd']>[1]} unhandledErrors
   * @param {import('vitest/node').TestRunEndReason} reason
   */
  onTestRunEnd(testModules, unhandledErrors, reason) {
    super.onTestRunEnd(testModules, unhandledErrors, reason);
    const counts = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    for (const testModule of testModules) {
      let failed = 0;
      for (const test of testModule.children.allTests()) {
        const { state } = test.result();
        if (state === 'passed') counts.passed += 1;
        else if (state === 'skipped') counts.skipped += 1;
        else failed += 1;
      }
      // A file that cannot be loaded, or a hook that throws, fails without any of its tests failing.
      counts.failed += failed === 0 && !testModule.ok() ? 1 : failed;
    }
    const path = process.env['PTMON_TEST_COUNTS'];
    if (path !== undefined) writeFileSync(path, JSON.stringify(counts));
  }
}
