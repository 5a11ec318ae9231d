import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import ts from "typescript";

/** A file of the project: its path from the root, with slashes, and its text. */
export interface Source {
  path: string;
  text: string;
}

const read = /\.(ts|mjs|cc|h|cu|cuh|gypi)$/;
const skipped = /^(node_modules|golden|build|dist)$/;

/** Every source file under the given folders of `root`, by path. Folders that don't exist yet are skipped. */
export function sourcesIn(root: string, ...folders: string[]): Source[] {
  const walk = (folder: string): Source[] =>
    readdirSync(path.join(root, folder), { withFileTypes: true }).flatMap((entry) => {
      const name = `${folder}/${entry.name}`;
      if (entry.isDirectory()) return skipped.test(entry.name) ? [] : walk(name);
      return read.test(name) ? [{ path: name, text: readFileSync(path.join(root, name), "utf8") }] : [];
    });
  return folders.filter((folder) => existsSync(path.join(root, folder))).flatMap(walk);
}

export const parse = ({ path: name, text }: Source): ts.SourceFile =>
  ts.createSourceFile(name, text, ts.ScriptTarget.Latest, true);

/** All nodes of a file, parents first. */
export function* nodesOf(node: ts.Node): Generator<ts.Node> {
  yield node;
  for (const child of node.getChildren()) yield* nodesOf(child);
}

/** Texts of the string literals of a file, import paths included. */
export const literalsOf = (source: Source): string[] =>
  [...nodesOf(parse(source))].filter((node) => ts.isStringLiteralLike(node)).map((node) => node.text);
