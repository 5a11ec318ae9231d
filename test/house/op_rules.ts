import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import ts from "typescript";
import { literalsOf, nodesOf, parse, type Source, sourcesIn } from "./sources.ts";

/** The kernels that the specs of an op file name, read off the file without running it. */
export function specKernels(source: Source): string[][] {
  return [...nodesOf(parse(source))]
    .filter((node) => ts.isVariableDeclaration(node))
    .filter(({ type }) => type?.getText() === "OpSpec")
    .flatMap(({ initializer }) => [...nodesOf(initializer!)])
    .filter((node) => ts.isPropertyAssignment(node))
    .filter(({ name }) => name.getText() === "kernels")
    .map(({ initializer }) =>
      [...nodesOf(initializer)].filter((node) => ts.isStringLiteral(node)).map((node) => node.text),
    );
}

const read = (root: string, file: string): string => readFileSync(path.join(root, file), "utf8");

/** Kernels of native/ops/table.h, in its order. */
export const tableKernels = (root: string): string[] =>
  [...read(root, "native/ops/table.h").matchAll(/^\s*X\((\w+)\)/gm)].map(([, name]) => name!);

const sorted = (names: readonly string[]): string[] => [...names].sort();
const missingFrom = (want: readonly string[], have: readonly string[]): string[] =>
  want.filter((name) => !have.includes(name));

/** Kernels without a table row, rows out of order, headers, sources and rows that don't agree. */
export function tableFaults(root: string): string[] {
  const table = tableKernels(root);
  const native = sourcesIn(root, "native/ops");
  const headers = native.filter(({ path: name, text }) => name.endsWith(".h") && /^MW_OP\(/m.test(text));
  const declared = headers.flatMap(({ text }) =>
    [...text.matchAll(/^MW_OP\((\w+)/gm)].map(([, name]) => name!),
  );
  const included = [...read(root, "native/ops/table.h").matchAll(/#include "(ops\/\w+\.h)"/g)].map(
    ([, name]) => `native/${name}`,
  );
  const { variables } = JSON.parse(read(root, "native/sources.gypi")) as {
    variables: Record<"core_sources" | "cpu_sources" | "cuda_sources", string[]>;
  };
  const onDisk = sourcesIn(root, "native").map(({ path: name }) => name);
  const compiled = onDisk.filter((name) => /\.(cc|cu)$/.test(name));
  const listed = [...variables.core_sources, ...variables.cpu_sources, ...variables.cuda_sources];
  const twins = (end: string) => headers.map(({ path: name }) => name.replace(/\.h$/, end));
  const unsorted = (what: string, names: readonly string[]) =>
    names.join() === sorted(names).join() ? [] : [`${what} is not in alphabetical order`];
  return [
    ...missingFrom(declared, table).map((name) => `${name} has no row in native/ops/table.h`),
    ...missingFrom(table, declared).map(
      (name) => `${name} has a row in native/ops/table.h, but no MW_OP in a header`,
    ),
    ...missingFrom(
      headers.map((header) => header.path),
      included,
    ).map((name) => `table.h does not include ${name}`),
    ...missingFrom(compiled, listed).map((name) => `${name} is not in native/sources.gypi`),
    ...missingFrom(listed, onDisk).map((name) => `native/sources.gypi lists ${name}, which does not exist`),
    ...missingFrom(twins(".cpu.cc"), variables.cpu_sources).map(
      (name) => `${name} is not among the cpu_sources of native/sources.gypi`,
    ),
    ...missingFrom(twins(".cuda.cu"), variables.cuda_sources).map(
      (name) => `${name} is not among the cuda_sources of native/sources.gypi`,
    ),
    ...unsorted("native/ops/table.h", table),
    ...unsorted("cpu_sources", variables.cpu_sources),
    ...unsorted("cuda_sources", variables.cuda_sources),
  ];
}

/** Kernels that a spec names and the table lacks; that two specs name; that nothing calls; op files without a twin. */
export function stemFaults(root: string): string[] {
  const table = tableKernels(root);
  const claimedBy = new Map<string, string[]>();
  const faults: string[] = [];
  for (const source of sourcesIn(root, "lib/ops")) {
    const specs = specKernels(source);
    if (specs.length === 0) continue;
    for (const twin of [
      source.path.replace(/^lib\/(.*)\.ts$/, "test/$1.test.ts"),
      source.path.replace(/^lib\/(.*)\.ts$/, "bench/$1.bench.ts"),
    ]) {
      if (!existsSync(path.join(root, twin))) faults.push(`${source.path} has no ${twin}`);
    }
    const stem = path.basename(source.path, ".ts");
    const index = path.join(root, "lib/ops/index.ts");
    if (!readFileSync(index, "utf8").includes(`"./${stem}.ts"`))
      faults.push(`${source.path} is not in lib/ops/index.ts`);
    const kernels = new Set(specs.flat());
    for (const name of missingFrom([...kernels], table)) {
      faults.push(`${source.path} names the kernel ${name}, which is not in native/ops/table.h`);
    }
    for (const name of kernels) claimedBy.set(name, [...(claimedBy.get(name) ?? []), source.path]);
  }
  for (const [name, files] of claimedBy) {
    if (files.length > 1) faults.push(`${name} is claimed by the specs of ${files.join(" and ")}`);
  }
  // Kernels without a spec are steps of something larger, such as an optimizer, or a measuring tool of bench/.
  const called = new Set(sourcesIn(root, "lib", "bench").flatMap(literalsOf));
  for (const name of table) {
    if (!claimedBy.has(name) && !called.has(name))
      faults.push(`nothing in lib/ or bench/ calls the kernel ${name}`);
  }
  return faults;
}
