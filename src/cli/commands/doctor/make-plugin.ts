/** `ptmon doctor --build-plugin`. */
import { resolve } from 'node:path';
import { buildPlugin } from '../../../drivers/qemu/index.ts';
import type { Streams } from '../../context.ts';

/** @throws PtmonError as `buildPlugin` */
export async function makePlugin(file: string, { output }: Streams): Promise<void> {
  await buildPlugin(file);
  await output.write(
    `Built ${file}. Start QEMU (TCG) with\n  -plugin ${resolve(file)},socket=/tmp/ptmon\n` +
      'then watch its guest with\n  ptmon watch --qmp … --plugin /tmp/ptmon --root 0x… --va 0x…\n',
  );
}
