/** A file of symbols, of any size, read in parts. */
export interface SymbolFile {
  /** 0 for a file that does not say, as those of /proc. */
  readonly byteLength: number;
  /** May be short at the end of the file. */
  read(offset: number, byteLength: number): Promise<Uint8Array>;
}
