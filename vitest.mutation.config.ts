import { defineConfig } from 'vitest/config';

/** The tests that mutants of the core are run against, thousands of times: the fast ones, and none that need the build. */
export default defineConfig({
  test: {
    include: ['test/core/**/*.test.ts', 'test/oracle/**/*.test.ts', 'test/differential/**/*.test.ts'],
    exclude: ['**/*.slow.test.ts'],
    // Enough random programs to notice a mutant, few enough to run thousands of times.
    env: { PTMON_PROGRAMS: '60' },
    testTimeout: 30_000,
  },
});
