import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, rename, stat } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { Child } from "./child.ts";
import type { InputFile } from "./peer.ts";

/** What blas.cc does: products C = A·B of the inputs `a` and `b`, which hold `count` matrices each, end to end. */
export interface Products {
  m: number;
  n: number;
  k: number;
  count: number;
  /** The operand lies in memory as its transpose. */
  transA: boolean;
  transB: boolean;
}

interface Library {
  name: string;
  define: string;
  library: string;
  header: string;
  /** Debian's folders of its variants, the best first. What lies outside of them is whatever the system chose. */
  folders: readonly string[];
  debian: string;
}

const libraries: readonly Library[] = [
  {
    name: "OpenBLAS",
    define: "MW_OPENBLAS",
    library: "libopenblas.so",
    header: "cblas.h",
    folders: ["openblas-openmp", "openblas-pthread"],
    debian: "libopenblas-openmp-dev",
  },
  {
    name: "BLIS",
    define: "MW_BLIS",
    library: "libblis.so",
    header: "blis.h",
    folders: ["blis-openmp", "blis-pthread"],
    debian: "libblis-openmp-dev",
  },
  {
    name: "oneDNN",
    define: "MW_ONEDNN",
    library: "libdnnl.so",
    header: "dnnl.h",
    folders: ["."],
    debian: "libdnnl-dev",
  },
];

export const blasNames = libraries.map(({ name }) => name);

/** A program of blas.cc at work. */
export class Blas extends Child {
  constructor(name: string, program: string, environment: Readonly<Record<string, string>>) {
    super(name, program, [], environment);
  }

  override async versions(): Promise<Record<string, string>> {
    const { version } = await this.ask<{ version: string }>({});
    return { [this.name]: version.replace(`${this.name} `, "") };
  }

  override async make(
    id: string,
    _work: string,
    { a, b }: Readonly<Record<string, InputFile>>,
    products: object,
  ): Promise<number[]> {
    return (await this.ask<{ check: number[] }>({ make: id, ...products, a: a!.file, b: b!.file })).check;
  }
}

const source = path.join(import.meta.dirname, "blas.cc");
const cache = path.join(import.meta.dirname, "../../.cache/peers");
const execute = promisify(execFile);

/** Builds and starts the programs of the libraries that are installed, and says why of those that aren't. */
export async function startBlas(
  environment: Readonly<Record<string, string>>,
): Promise<{ peers: Blas[]; notes: string[] }> {
  const peers: Blas[] = [];
  const notes: string[] = [];
  const triplet = await execute("g++", ["-print-multiarch"]).then(
    ({ stdout }) => stdout.trim(),
    () => undefined,
  );
  if (triplet === undefined) return { peers, notes: [`${blasNames.join(", ")}: skipped, there is no g++`] };
  for (const library of libraries) {
    const { name, debian } = library;
    try {
      const program = await build(library, triplet);
      if (program === undefined) notes.push(`${name}: skipped, Debian's ${debian} is not installed`);
      else peers.push(new Blas(name, program, environment));
    } catch (error) {
      notes.push(`${name}: skipped, its program does not build: ${(error as Error).message}`);
    }
  }
  return { peers, notes };
}

/** The program's path; undefined when the library isn't there. */
async function build(
  { define, library, header, folders }: Library,
  triplet: string,
): Promise<string | undefined> {
  for (const folder of folders) {
    const file = path.join("/usr/lib", triplet, folder, library);
    const include = [path.join("/usr/include", triplet, folder), "/usr/include"].find((dir) =>
      existsSync(path.join(dir, header)),
    );
    if (!existsSync(file) || include === undefined) continue;
    const program = path.join(cache, `${path.basename(library, ".so")}-${path.basename(folder)}`);
    if (existsSync(program) && (await stat(program)).mtimeMs > (await stat(source)).mtimeMs) return program;
    await mkdir(cache, { recursive: true });
    const mine = `${program}-${process.pid}`; // another process may build it, too
    const headers = include === "/usr/include" ? [] : ["-isystem", include];
    const flags = ["-O2", "-std=c++17", "-fopenmp", `-D${define}`, ...headers];
    await execute("g++", [...flags, source, "-o", mine, file, `-Wl,-rpath,${path.dirname(file)}`]);
    await rename(mine, program);
    return program;
  }
  return undefined;
}
