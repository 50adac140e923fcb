/** Memory that a dump says is zeroes, and leaves out. */
import type { PositionedSource } from '../ramfile/index.ts';

export class ZeroBytes implements PositionedSource {
  readonly name: string;

  /** @param name of the file that says so, for messages */
  constructor(name: string) {
    this.name = name;
  }

  read(into: Uint8Array): void {
    into.fill(0);
  }

  check(): void {}

  close(): void {}
}
