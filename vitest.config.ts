import process from 'node:process';
import { configDefaults, defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Real guests only where they are asked for: PTMON_LIVE=1, or PTMON_LIVE=required to fail where one cannot be had.
    exclude: [...configDefaults.exclude, ...(process.env['PTMON_LIVE'] ? [] : ['test/live/**'])],
    // Nothing here is slow by itself; machines that do other things besides are.
    testTimeout: 30_000,
    coverage: { include: ['src/**/*.ts'], reporter: ['text', 'html'] },
  },
});
