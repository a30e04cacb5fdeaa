// What is special about a server on this machine.

export function isLoopback(url: string): boolean {
  const host = URL.canParse(url) ? new URL(url).hostname : '';
  return host === 'localhost' || host === '[::1]' || /^127(\.\d+){3}$/.test(host);
}

/**
 * Options for `fetch` that keep it from a proxy: Bun sends even loopback requests to HTTP_PROXY, where NO_PROXY does not name
 * 127.0.0.1, and no proxy can reach this machine's loopback. Node's fetch knows no proxy and ignores the option.
 */
export function directIfLoopback(url: string): RequestInit {
  // `false` is what Bun takes for "none"; its types only know the address of a proxy.
  return isLoopback(url) ? ({ proxy: false } as unknown as RequestInit) : {};
}
