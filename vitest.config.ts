import { defineConfig } from 'vitest/config';

/** Guests whose processes, symbols and dumps are read: what else the host does costs these tests time alone. */
const READING = ['test/live/dumps/**/*.test.ts', 'test/live/linux{,-32,-entries,-symbols}.test.ts'];

export default defineConfig({
  test: {
    // Nothing here is slow by itself; machines that do other things besides are.
    testTimeout: 30_000,
    // Some tests start the built command.
    globalSetup: './scripts/vitest-bundle.mjs',
    coverage: { include: ['src/**/*.ts'], reporter: ['text', 'html'] },
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/live/**', 'test/kvm/**'],
          // On two cores vitest takes one worker, to leave the other to itself: 160 s instead of 95 s.
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'reading',
          // Real guests, where QEMU and the guest's files are there. PTMON_LIVE=required fails where they are not.
          include: READING,
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: 'live',
          // Guests that are watched, one file at a time: how fast they run is part of what is tested.
          include: ['test/live/**/*.test.ts'],
          exclude: READING,
          maxWorkers: 1,
          sequence: { groupOrder: 2 },
        },
      },
      {
        extends: true,
        test: {
          name: 'kvm',
          // Guests under KVM: this machine's own, or the bed where that has been made. `npm run test:kvm` makes it.
          include: ['test/kvm/**/*.test.ts'],
          globalSetup: ['test/kvm/setup.ts'],
          maxWorkers: 1,
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
});
