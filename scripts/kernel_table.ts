/** A kernel as one architecture's assembler saw it. */
export interface CompiledKernel {
  name: string;
  architecture: string;
  registers: number;
  /** Shared memory that is asked for in the source; what a launch asks for comes on top. */
  sharedBytes: number;
  /** Local memory that takes what no register holds: stores and loads. */
  spilledBytes: number;
}

/** What `ptxas -v` said of each kernel. */
export function kernelsIn(log: string): CompiledKernel[] {
  const found: CompiledKernel[] = [];
  for (const line of log.split("\n")) {
    const entry = /Compiling entry function '(\w+)' for '(\w+)'/.exec(line);
    if (entry) {
      const [, symbol, architecture] = entry;
      found.push({
        name: nameIn(symbol!),
        architecture: architecture!,
        registers: 0,
        sharedBytes: 0,
        spilledBytes: 0,
      });
    }
    const kernel = found.at(-1);
    if (kernel === undefined) continue;
    const spills = /(\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line);
    if (spills) kernel.spilledBytes = Number(spills[1]) + Number(spills[2]);
    const used = /Used (\d+) registers/.exec(line);
    if (used) kernel.registers = Number(used[1]);
    const shared = /(\d+) bytes smem/.exec(line);
    if (shared) kernel.sharedBytes = Number(shared[1]);
  }
  return found;
}

/** The last name of a mangled one: _ZN9mixwright4cuda3addIfEEvPf → add. */
function nameIn(symbol: string): string {
  let rest = symbol.replace(/^_ZN?/, "");
  let name = symbol;
  for (let length = /^\d+/.exec(rest); length; length = /^\d+/.exec(rest)) {
    const start = length[0].length;
    name = rest.slice(start, start + Number(length[0]));
    rest = rest.slice(start + Number(length[0]));
  }
  return name;
}

/** A row for each kernel function, with the most that any of its variants takes; then the variants that spill. */
export function kernelTable(kernels: readonly (CompiledKernel & { source: string })[]): string {
  const groups = new Map<string, (CompiledKernel & { source: string })[]>();
  for (const kernel of kernels) {
    const key = `${kernel.source} ${kernel.name}`;
    groups.set(key, [...(groups.get(key) ?? []), kernel]);
  }
  const most = (of: readonly CompiledKernel[], what: "registers" | "sharedBytes" | "spilledBytes") =>
    Math.max(...of.map((kernel) => kernel[what]));
  const rows = [...groups.values()].map((all) => [
    all[0]!.source,
    all[0]!.name,
    String(all.length),
    String(most(all, "registers")),
    String(most(all, "sharedBytes")),
    String(most(all, "spilledBytes")),
    [...new Set(all.filter((kernel) => kernel.spilledBytes > 0).map((kernel) => kernel.architecture))].join(
      " ",
    ),
  ]);
  const heads = ["file", "kernel", "variants", "registers", "shared B", "spilled B", "spills on"];
  const table = [heads, ...rows.sort((a, b) => (a.join() < b.join() ? -1 : 1))];
  const widths = heads.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
  const spilling = kernels.filter((kernel) => kernel.spilledBytes > 0).length;
  return [
    ...table.map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i]!))
        .join("  ")
        .trimEnd(),
    ),
    `${kernels.length} variants of ${rows.length} kernels, ${spilling} with spills`,
  ].join("\n");
}
