// The activities of the bare loop.

export const first = (): Promise<number> => Promise.resolve(performance.timeOrigin + performance.now());

export const second = (): Promise<void> => Promise.resolve();
