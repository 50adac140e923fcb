/**
 * vitest's default reporter without its line for each file, so that the failures fit on one screen, and with a list of the slowest at the
 * end. Writes the counts as JSON to the file that PTMON_TEST_COUNTS names, after each test file: a run that is killed keeps those of the
 * files that have ended.
 */
import { writeFileSync } from 'node:fs';
import process from 'node:process';
import { DefaultReporter } from 'vitest/node';

/** @typedef {import('vitest/node').TestModule} TestModule */

/** Files that are listed. */
const SLOWEST = 12;

export default class CountingReporter extends DefaultReporter {
  /** @type {Set<TestModule>} */
  #ended = new Set();

  /** @override */
  printTestModule() {}

  /** @override @param {TestModule} testModule */
  onTestModuleEnd(testModule) {
    super.onTestModuleEnd(testModule);
    this.#ended.add(testModule);
    writeCounts(this.#ended, 0);
  }

  /**
   * @override
   * @param {readonly TestModule[]} testModules
   * @param {Parameters<DefaultReporter['onTestRunEnd']>[1]} unhandledErrors
   * @param {import('vitest/node').TestRunEndReason} reason
   */
  onTestRunEnd(testModules, unhandledErrors, reason) {
    super.onTestRunEnd(testModules, unhandledErrors, reason);
    this.log(`\nThe slowest files: ${slowest(testModules).join(', ')}`);
    writeCounts(testModules, unhandledErrors.length);
  }
}

/** @param {readonly TestModule[]} testModules @returns {string[]} */
function slowest(testModules) {
  return [...testModules]
    .map((testModule) => ({ name: testModule.relativeModuleId, ms: testModule.diagnostic().duration }))
    .sort((a, b) => b.ms - a.ms)
    .slice(0, SLOWEST)
    .map(({ name, ms }) => `${name} ${(ms / 1000).toFixed(0)} s`);
}

/** @param {Iterable<TestModule>} testModules @param {number} unhandledErrors */
function writeCounts(testModules, unhandledErrors) {
  const path = process.env['PTMON_TEST_COUNTS'];
  if (path === undefined) return;
  const counts = { passed: 0, failed: unhandledErrors, skipped: 0 };
  for (const testModule of testModules) {
    // A file that does not load and a hook that throws fail without a failed test.
    for (const suite of [testModule, ...testModule.children.allSuites()])
      if (suite.errors().length > 0) counts.failed += 1;
    for (const test of testModule.children.allTests()) {
      const { state } = test.result();
      // A test that never ran is pending: vitest leaves those of a skipped suite inside another one like that.
      counts[state === 'pending' ? 'skipped' : state] += 1;
    }
  }
  writeFileSync(path, JSON.stringify(counts));
}
