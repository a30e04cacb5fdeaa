// The end of a question at the terminal, which may also be that nobody is there any more.

/** The answer; undefined after Ctrl+C and when the signal aborts: a prompt does not notice that its terminal was closed. */
export async function asked<Answer>(
  prompt: Promise<Answer>,
  signal: AbortSignal | undefined,
): Promise<Exclude<Answer, symbol> | undefined> {
  const answer = await (signal === undefined ? prompt : Promise.race([prompt, abortOf(signal)]));
  return typeof answer === 'symbol' ? undefined : (answer as Exclude<Answer, symbol> | undefined);
}

function abortOf(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(undefined);
    signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
}
