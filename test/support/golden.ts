import { existsSync } from "node:fs";
import path from "node:path";
import { sharedPath } from "./shared_data.ts";

const golden = path.resolve(import.meta.dirname, "../golden");

/** Folders with float64 reference numbers: those in test/golden, and those beside the checkout where present. */
export function oracleFolders(): string[] {
  return ["llama", "mixtral"].map((name) => {
    const own = path.join(golden, "float64", name);
    return existsSync(own) ? own : sharedPath(`oracles/public/${name}`)!;
  });
}
