/** What a stub says that it can do. GDB manual, "General Query Packets", qSupported. */

export interface StubFeatures {
  /** Longest payload that the stub takes and sends, in bytes. */
  readonly packetByteLength: number;
  /** Names that the stub offers with `+`: `qXfer:features:read`, `multiprocess`, … */
  readonly offered: ReadonlySet<string>;
}

/** What this client asks for. With `multiprocess` a detach names its process: QEMU demands it once any client has asked for it. */
export const CLIENT_FEATURES = 'multiprocess+;xmlRegisters=i386';

/** What a stub takes that does not say. */
const MIN_PACKET_BYTES = 400;
const MAX_PACKET_BYTES = 32 * 1024;

/** Reads the reply to qSupported; what is malformed is passed over. */
export function parseFeatures(reply: string): StubFeatures {
  const offered = new Set<string>();
  let packetByteLength = MIN_PACKET_BYTES;
  for (const item of reply.split(';')) {
    const size = /^PacketSize=([0-9a-f]{1,8})$/i.exec(item);
    if (size !== null) packetByteLength = Number.parseInt(size[1]!, 16);
    else if (item.endsWith('+')) offered.add(item.slice(0, -1));
  }
  return { packetByteLength: Math.min(Math.max(packetByteLength, MIN_PACKET_BYTES), MAX_PACKET_BYTES), offered };
}
