// How a process of ours talks to the person who started it; the command line fills it in.

export interface ProcessIo {
  /** One line for the person, not the log; to stderr. */
  writeLine(text: string): void;
  readonly isTty: boolean;
  /** Colour is wanted and possible. */
  readonly hasColour?: boolean;
}
