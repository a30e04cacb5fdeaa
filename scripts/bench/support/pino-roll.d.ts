// The types that pino-roll does not bring, as far as the benchmark uses it.
declare module 'pino-roll' {
  import type { Writable } from 'node:stream';
  function pinoRoll(options: { readonly file: string; readonly size: string }): Promise<Writable>;
  export = pinoRoll;
}
