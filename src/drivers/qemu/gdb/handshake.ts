/** The first words with a gdbstub. */
import { PtmonError } from '../../../core/error.ts';
import type { GdbConnection } from './connection.ts';
import { CLIENT_FEATURES, parseFeatures, type StubFeatures } from './reply/features.ts';
import { parseStopReply, type StopReply } from './reply/stop-reply.ts';

export interface Introduction {
  readonly features: StubFeatures;
  /** Where the guest stopped: a stub stops it for each client that connects. */
  readonly stop: StopReply;
  /** Whether the guest ran when this client connected; false where the stub does not report its stop (QEMU 8.1 and newer). */
  readonly ran: boolean;
}

/**
 * Hears what the stub can do, and asks where the guest stands. QEMU takes that question as a beginning: watchpoints that an earlier
 * client left behind are gone with it. Acknowledgements stay, whatever it offers: only they tell the stop of a guest that another client
 * had let run from the answer to the command that has stopped it.
 *
 * @throws PtmonError `source-unavailable` when nobody answers (another client is connected), `corrupt-input` when the peer does not
 *   speak the protocol
 */
export async function introduce(connection: GdbConnection, timeoutMs: number): Promise<Introduction> {
  const features = parseFeatures(await firstAnswer(connection, timeoutMs));
  const reply = await connection.requestStop('?');
  const stop = parseStopReply(reply);
  if (stop !== undefined) return { features, stop, ran: connection.unaskedStops > 0 };
  throw new PtmonError(
    'corrupt-input',
    `${connection.address}: the gdbstub answered "${reply}" to the packet "?", which asks why the guest stopped`,
  );
}

async function firstAnswer(connection: GdbConnection, timeoutMs: number): Promise<string> {
  try {
    return await connection.request(`qSupported:${CLIENT_FEATURES}`);
  } catch (cause) {
    // Of the ways to fail, only the time limit has no cause of its own.
    if (!(cause instanceof PtmonError) || cause.code !== 'source-unavailable' || cause.cause !== undefined) throw cause;
    const noise = connection.noiseSample;
    if (noise !== '') {
      const swapped = noise.startsWith('{"QMP"') ? ' It is a QMP socket: are the addresses of the two swapped?' : '';
      const message = `${connection.address} does not speak the GDB remote protocol: it sent "${noise}".${swapped}`;
      throw new PtmonError('corrupt-input', message, {}, { cause });
    }
    throw new PtmonError(
      'source-unavailable',
      `${connection.address}: connected, but the gdbstub did not answer within ${timeoutMs} ms; ` +
        'QEMU serves one debugger at a time, and another seems to be connected: close that one',
      {},
      { cause },
    );
  }
}
