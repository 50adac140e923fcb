import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Nothing here is slow by itself; machines that do other things besides are.
    testTimeout: 30_000,
    coverage: { include: ['src/**/*.ts'], reporter: ['text', 'html'] },
  },
});
