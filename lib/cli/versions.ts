import { createRequire } from "node:module";

export const packageVersion = (): string =>
  (createRequire(import.meta.url)("../../package.json") as { version: string }).version;

/** What a result depends on beside its settings. */
export const versions = (): Record<string, string> => ({
  mixwright: packageVersion(),
  node: process.version,
  platform: `${process.platform}-${process.arch}`,
});
