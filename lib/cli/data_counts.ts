import type { PipelineReport } from "../index.ts";
import { printTable } from "./output.ts";

/** What became of a run's documents, for people. */
export function printCounts({ read, kept, steps, counts, tasks, seconds, bytes }: PipelineReport): void {
  const share = read === 0 ? "" : ` (${((100 * kept) / read).toFixed(1)} %)`;
  const rate =
    seconds > 0 && tasks.run > 0 && tasks.skipped === 0 ? `, ${(bytes / 1e6 / seconds).toFixed(1)} MB/s` : "";
  printTable([
    ["read", `${read} documents${rate}`],
    ["kept", `${kept}${share}`],
    ...Object.entries(steps).flatMap(([step, { dropped }]) =>
      Object.entries(dropped).map(([reason, n]) => [`${step} ${reason}`, n] as const),
    ),
    ...Object.entries(counts),
    [
      "tasks",
      `${tasks.run} run, ${tasks.skipped} through before${tasks.elsewhere > 0 ? `, ${tasks.elsewhere} left to other processes` : ""}`,
    ],
  ]);
}
