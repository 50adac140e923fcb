/** Documents that a stub sends in parts. GDB manual, "General Query Packets", qXfer. */
import { PtmonError } from '../../../core/error.ts';
import type { GdbConnection } from './connection.ts';
import { faultOfReply } from './reply/error-reply.ts';

/** QEMU's descriptions of a PC have 12 KB. */
const MAX_DOCUMENT_BYTES = 1024 * 1024;

/**
 * A document of the target description, whole.
 *
 * @throws PtmonError `source-unavailable` where the stub does not have it, `corrupt-input` where it never ends, and as
 *   `GdbConnection.request`
 */
export async function readDocument(connection: GdbConnection, name: string, packetByteLength: number): Promise<string> {
  const what = `${connection.address}: the target description ${name}`;
  let characters = '';
  while (characters.length <= MAX_DOCUMENT_BYTES) {
    // One character of the payload says whether there is more.
    const range = `${characters.length.toString(16)},${(packetByteLength - 1).toString(16)}`;
    const reply = await connection.request(`qXfer:features:read:${name}:${range}`);
    const part = reply.slice(1);
    if (reply.startsWith('l')) return textOf(characters + part);
    if (!reply.startsWith('m') || part === '') {
      const fault = faultOfReply(reply) ?? `the gdbstub answered "${reply.slice(0, 40)}"`;
      throw new PtmonError('source-unavailable', `${what} cannot be read: ${fault}`);
    }
    characters += part;
  }
  throw new PtmonError('corrupt-input', `${what} has more than ${MAX_DOCUMENT_BYTES} bytes`);
}

function textOf(characters: string): string {
  return Buffer.from(characters, 'latin1').toString('utf8');
}
