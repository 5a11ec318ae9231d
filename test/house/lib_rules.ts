import path from "node:path";
import ts from "typescript";
import { nodesOf, parse, type Source, sourcesIn } from "./sources.ts";

/** The files of core that know neither devices nor the engine: the data pipeline runs in plain workers. */
const plain = ["core/errors", "core/nearest", "core/options", "core/random"];

/** All that stands below commands. */
const below = [
  ...["core", "ops", "nn", "io", "text", "data", "models", "adapters", "optim", "train", "generate"],
  ...["report", "npm"],
];

/**
 * Who may know whom in lib/ (house.md §2). A word names a folder, or one file of it; "npm" allows packages, "type x" types
 * of x alone. Node's own modules and the folder itself are always allowed.
 */
const mayImport: Record<string, readonly string[]> = {
  core: [],
  ops: ["core"],
  nn: ["core", "ops"],
  io: [...plain, "npm", "type text"],
  text: [...plain, "npm", "io"],
  // The native text kernels come through core/native, and need no device.
  data: [...plain, "npm", "text", "io", "core/native"],
  models: ["core", "ops", "nn", "io", "text"],
  adapters: ["core", "ops", "nn", "io", "text", "models"],
  optim: ["core", "ops"],
  // face.md lets pretrain take files: it opens them by these, and knows TokenBatch alone. A policy that is trained on what it
  // writes needs the generator.
  train: [
    "core",
    "ops",
    "nn",
    "io",
    "text",
    "models",
    "adapters",
    "optim",
    "generate",
    "data/corpus",
    "data/mix",
    "data/open_corpus",
    "data/packed_batches",
  ],
  generate: ["core", "ops", "nn", "io", "text", "models", "adapters"],
  report: ["io", "type train", "type data"],
  // Trains by the trainers and writes about it: all that a command may use but commands.
  study: below,
  cli: ["index", ...below, "study"],
};

interface Import {
  from: string;
  /** A path from the root, or the name of a package. */
  to: string;
  /** Vanishes when compiled. */
  typeOnly: boolean;
}

export function importsOf(source: Source): Import[] {
  const found: Import[] = [];
  const add = (specifier: ts.Node | undefined, typeOnly: boolean): void => {
    if (specifier === undefined || !ts.isStringLiteralLike(specifier)) return;
    const local = specifier.text.startsWith(".");
    const to = local ? path.posix.join(path.posix.dirname(source.path), specifier.text) : specifier.text;
    found.push({ from: source.path, to, typeOnly });
  };
  for (const node of nodesOf(parse(source))) {
    if (ts.isImportDeclaration(node)) add(node.moduleSpecifier, node.importClause?.isTypeOnly ?? false);
    else if (ts.isExportDeclaration(node)) add(node.moduleSpecifier, node.isTypeOnly);
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument))
      add(node.argument.literal, true);
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      add(node.arguments[0], false);
  }
  return found;
}

const folderOf = (file: string): string => file.split("/")[1]!.replace(/\.ts$/, "");

function allowed({ from, to, typeOnly }: Import): boolean {
  const folder = folderOf(from);
  const words = mayImport[folder] ?? [];
  if (folder === "index") return to.startsWith("lib/");
  if (to.startsWith("node:")) return true;
  if (!to.startsWith("lib/")) return words.includes("npm") && !to.startsWith("../");
  const target = folderOf(to);
  if (to === "lib/index.ts") return folder === "cli";
  return (
    target === folder ||
    words.includes(target) ||
    words.includes(to.slice("lib/".length).replace(/\.ts$/, "")) ||
    (typeOnly && words.includes(`type ${target}`))
  );
}

/** Imports that go where they may not, and folders that the rules don't know. */
export function importFaults(root: string): string[] {
  return sourcesIn(root, "lib").flatMap((source) => {
    const folder = folderOf(source.path);
    if (folder !== "index" && !(folder in mayImport))
      return [`${source.path}: no rule says whom lib/${folder} may know`];
    return importsOf(source)
      .filter((found) => !allowed(found))
      .map(({ from, to }) => `${from} imports ${to}`);
  });
}

/** Files that import each other in a circle, leaving out imports of types alone. */
export function cycleFaults(root: string): string[] {
  const edges = new Map(
    sourcesIn(root, "lib").map((source) => [
      source.path,
      importsOf(source)
        .filter(({ typeOnly }) => !typeOnly)
        .map(({ to }) => to),
    ]),
  );
  const done = new Set<string>();
  const faults: string[] = [];
  const visit = (file: string, trail: string[]): void => {
    if (trail.includes(file)) faults.push([...trail.slice(trail.indexOf(file)), file].join(" → "));
    if (trail.includes(file) || done.has(file)) return;
    for (const next of edges.get(file) ?? []) visit(next, [...trail, file]);
    done.add(file);
  };
  for (const file of edges.keys()) visit(file, []);
  return faults;
}

/** Trainers that import one another. A trainer is a file whose `pretrain` or `train…` lib/index.ts exports. */
export function trainerFaults(root: string): string[] {
  const index = sourcesIn(root, "lib").find((source) => source.path === "lib/index.ts")?.text ?? "";
  const exported = index.matchAll(/^export \{([^}]*)\} from "\.\/(train\/\w+\.ts)";/gm);
  const trainers = [...exported]
    .filter(([, names]) => /\b(pretrain|train[A-Z]\w*)\b/.test(names!))
    .map(([, , file]) => `lib/${file}`);
  return sourcesIn(root, "lib/train")
    .filter((source) => trainers.includes(source.path))
    .flatMap(importsOf)
    .filter(({ to }) => trainers.includes(to))
    .map(({ from, to }) => `${from} imports ${to}`);
}

/** Files that reach for a native binary themselves. */
export function loaderFaults(root: string): string[] {
  return sourcesIn(root, "lib")
    .filter(({ path: name }) => name !== "lib/core/native.ts")
    .filter(({ text }) => /\bdlopen\b|\.node["'`]/.test(text))
    .map(({ path: name }) => `${name} loads a native binary; only lib/core/native.ts may`);
}

/** Places where a type is `any`. */
export function anyFaults(root: string): string[] {
  return sourcesIn(root, "lib", "test", "bench").flatMap((source) => {
    if (!/\bany\b/.test(source.text)) return [];
    const file = parse(source);
    return [...nodesOf(file)]
      .filter((node) => node.kind === ts.SyntaxKind.AnyKeyword)
      .map(
        (node) => `${source.path}:${file.getLineAndCharacterOfPosition(node.getStart()).line + 1} says any`,
      );
  });
}
