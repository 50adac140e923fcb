/** A QMP server that does as a test says. */
import type { Socket } from 'node:net';
import { startPeer } from '../transport/peer.ts';

export const GREETING =
  '{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": ["oob"]}}\r\n';

export interface Command {
  readonly execute: string;
  readonly arguments?: Readonly<Record<string, unknown>>;
  readonly id: number;
}

export interface QmpServer {
  readonly address: string;
  /** The commands so far, `qmp_capabilities` among them. */
  readonly commands: readonly Command[];
  /** Sends to whoever is connected. */
  send(text: string): void;
  /** Closes the connections, at once. */
  hangUp(): void;
}

export interface ServerOptions {
  readonly kind?: 'unix' | 'tcp';
  readonly greeting?: string;
  /** Sent in one write with the reply that ends the negotiation. */
  readonly firstEvents?: string;
}

/** Greets, negotiates, and calls `answer` with everything after that. */
export async function startQmpServer(
  answer: (command: Command, socket: Socket) => void = () => {},
  options: ServerOptions = {},
): Promise<QmpServer> {
  const commands: Command[] = [];
  const peer = await startPeer((socket) => {
    socket.write(options.greeting ?? GREETING);
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString();
      const lines = text.split('\n');
      text = lines.pop()!;
      for (const line of lines) {
        const command = JSON.parse(line) as Command;
        commands.push(command);
        if (command.execute === 'qmp_capabilities')
          socket.write(`${returning(command, {})}${options.firstEvents ?? ''}`);
        else answer(command, socket);
      }
    });
  }, options.kind);
  return {
    address: peer.address,
    commands,
    send: (text) => peer.sockets.forEach((socket) => socket.write(text)),
    hangUp: () => peer.sockets.forEach((socket) => socket.end()),
  };
}

export function returning({ id }: Command, value: unknown): string {
  return `${JSON.stringify({ return: value, id })}\r\n`;
}

export function refusing({ id }: Command, errorClass: string, desc: string): string {
  return `${JSON.stringify({ error: { class: errorClass, desc }, id })}\r\n`;
}
