import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { type LaunchedGuest, type LaunchOptions, launchGuest } from '../../../../src/drivers/qemu/launch/launch.ts';
import { temporaryFolder } from './temporary-folder.ts';

const PLAYER = join(import.meta.dirname, 'fake-qemu.mjs');

/** Options that launch a player of a guest instead of QEMU: see fake-qemu.mjs for the plays. */
export function playOptions(play: string): LaunchOptions & { readonly directory: string } {
  const directory = temporaryFolder({
    workload: 'the workload',
    'kernels/6.1.0/vmlinuz': 'the kernel',
    qemu: `#!/bin/sh\nexec '${process.execPath}' '${PLAYER}' "$@"\n`,
  });
  return { directory, qemu: join(directory, 'qemu'), extraArguments: ['-play', play] };
}

/** A guest that is stopped when the test is over. */
export async function launchPlayer(play = 'guest', options: LaunchOptions = {}): Promise<LaunchedGuest> {
  const guest = await launchGuest({ ...playOptions(play), ...options });
  onTestFinished(() => guest.stop());
  return guest;
}
