/** One end of a guest's serial port, line by line. */
import { createServer, type Server, type Socket } from 'node:net';

/** How many of the last lines are kept for messages about what went wrong: a kernel's panic with its call trace. */
const RECENT_LINES = 60;

/** A line without an end is handed on when it is this long: a guest must not fill our memory. */
const LINE_CHARACTERS = 1 << 16;

/**
 * A unix socket that QEMU connects a serial port to. Text is Latin-1, a byte a character, so nothing that a guest sends is
 * invalid; lines lose their carriage returns.
 */
export class SerialPort {
  readonly path: string;
  readonly #server: Server;
  readonly #listeners = new Set<(line: string) => void>();
  readonly #recent: string[] = [];
  #socket: Socket | undefined;
  #unfinished = '';
  #unsent = '';

  private constructor(path: string) {
    this.path = path;
    this.#server = createServer((socket) => this.#connected(socket));
    // A server whose path is gone has nobody to tell.
    this.#server.on('error', () => {});
  }

  /** Listens at a path that does not exist yet. @throws the socket's error */
  static async listen(path: string): Promise<SerialPort> {
    const port = new SerialPort(path);
    await new Promise<void>((resolve, reject) => {
      port.#server.once('error', reject);
      port.#server.listen(path, resolve);
    });
    return port;
  }

  /** The last lines, the unfinished one included, oldest first. */
  get recentLines(): readonly string[] {
    return this.#unfinished === '' ? [...this.#recent] : [...this.#recent, this.#unfinished];
  }

  /** Calls `listener` for every line from now on; returns what stops that. */
  onLine(listener: (line: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Sends text to the guest; what is written before QEMU is there waits for it. */
  write(text: string): void {
    if (this.#socket === undefined) this.#unsent += text;
    else this.#socket.write(text, 'latin1');
  }

  /** Hangs up. May be called again. */
  close(): void {
    this.#server.close();
    this.#socket?.destroy();
    this.#listeners.clear();
  }

  #connected(socket: Socket): void {
    // QEMU connects once, at its start; a later client is not QEMU.
    if (this.#socket !== undefined) {
      socket.destroy();
      return;
    }
    this.#socket = socket;
    // QEMU's end is told by its process, not by this.
    socket.on('error', () => {});
    socket.setEncoding('latin1').on('data', (text: string) => this.#received(text));
    if (this.#unsent !== '') socket.write(this.#unsent, 'latin1');
    this.#unsent = '';
  }

  #received(text: string): void {
    const lines = (this.#unfinished + text).split('\n');
    this.#unfinished = lines.pop() ?? '';
    for (const line of lines) this.#line(line);
    if (this.#unfinished.length < LINE_CHARACTERS) return;
    const line = this.#unfinished;
    this.#unfinished = '';
    this.#line(line);
  }

  #line(text: string): void {
    const line = text.replaceAll('\r', '');
    this.#recent.push(line);
    if (this.#recent.length > RECENT_LINES) this.#recent.shift();
    for (const listener of this.#listeners) listener(line);
  }
}
