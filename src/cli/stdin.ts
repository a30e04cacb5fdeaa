// Reads what is piped in, up to a limit.

/** Stops behind the limit: what is piped in or named may have no end. */
export async function readBounded(stream: AsyncIterable<Uint8Array>, bytesMax: number): Promise<string> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of stream) {
    parts.push(part);
    bytes += part.length;
    if (bytes > bytesMax) break;
  }
  return Buffer.concat(parts).toString('utf8');
}
