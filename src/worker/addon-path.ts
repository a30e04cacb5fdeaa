// Tells the Temporal SDK where its native addon is, before anything imports `@temporalio/worker`.

/** Read by the patched SDK (scripts/temporal-plugin.ts). Never inherited: a value from outside names foreign code to load. */
const addonVariable = 'KUBIYA_INTERNAL_CORE_BRIDGE';

/** `path` is absolute and comes from `extractNativeAddon`. */
export function setNativeAddon(path: string): void {
  process.env[addonVariable] = path;
}
