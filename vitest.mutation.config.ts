import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Hand-written tests first: they kill most mutants in a few milliseconds, and the first failure is enough. */
class HandWrittenFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isRandom = ({ moduleId }: TestSpecification) => Number(/random|oracle-/.test(moduleId));
    return files.toSorted((a, b) => isRandom(a) - isRandom(b) || a.moduleId.localeCompare(b.moduleId));
  }
}

/** The tests that mutants of the core are run against, thousands of times: the fast ones, and none that need the build. */
export default defineConfig({
  test: {
    include: ['test/core/**/*.test.ts', 'test/oracle/**/*.test.ts'],
    exclude: ['**/*.slow.test.ts'],
    // No test leaves anything behind, so files share a worker: a second less for each mutant.
    isolate: false,
    sequence: { sequencer: HandWrittenFirst },
    // Enough random programs to notice a mutant, few enough to run thousands of times.
    env: { PTMON_PROGRAMS: '24' },
    testTimeout: 30_000,
  },
});
