// A log file of exact size that rotates itself, synchronously, so that kill -9 loses no acknowledged line.

export interface RotatingFile {
  readonly path: string;
  /** Entries that could not be written. */
  readonly linesLost: number;
  /** One complete line with its newline; false when it could not be written. Must not throw. */
  write(line: string): boolean;
  close(): void;
}

export interface RotatingFileOptions {
  readonly path: string;
  readonly bytesMax: number;
  /** Old files kept as `.1` (newest) to `.N`; 0 keeps none. */
  readonly backups: number;
  /** First line(s) of every new file, with newline. */
  readonly header?: () => string;
}

export declare function openRotatingFile(options: RotatingFileOptions): RotatingFile;
