import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, stat } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { Child } from "./child.ts";

/** A program of blas.cc, ready to start. */
export interface BlasProgram {
  name: string;
  file: string;
  env: Readonly<Record<string, string>>;
}

/** Products C = A·B, `count` of them end to end in the files `a` and `b` (f32, row by row), one after the other. */
export interface Products {
  m: number;
  n: number;
  k: number;
  count: number;
  /** The operand lies in memory as its transpose. */
  transA: boolean;
  transB: boolean;
  a: string;
  b: string;
}

interface Library {
  name: string;
  define: string;
  library: string;
  header: string;
  /** Debian's folders of the variants, the best first: beside the others' files, so that each program gets its own. */
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

/** Both threads on processors of their own; what is freed is kept, on huge pages. */
const atItsBest = {
  OMP_PROC_BIND: "true",
  GLIBC_TUNABLES:
    "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=17179869184",
};

/** Architectures of BLIS 0.9, by number: it knows no names, and takes one for 0. */
const blisArchitecture = { skx: "0", zen3: "6" };

/** What holds the libraries to AVX2 on a processor that has more. */
const avx2Only = {
  OPENBLAS_CORETYPE: "Zen",
  BLIS_ARCH_TYPE: blisArchitecture.zen3,
  ONEDNN_MAX_CPU_ISA: "AVX2",
};

const source = path.join(import.meta.dirname, "blas.cc");
const cache = path.join(import.meta.dirname, "../../.cache/peers");
const execute = promisify(execFile);

/**
 * Builds the programs of the libraries that are installed, and says why of those that aren't. `isa` is our device's: the
 * libraries get the same.
 */
export async function blasPrograms(isa: string): Promise<{ programs: BlasProgram[]; notes: string[] }> {
  const programs: BlasProgram[] = [];
  const notes: string[] = [];
  const triplet = await execute("g++", ["-print-multiarch"]).then(
    ({ stdout }) => stdout.trim(),
    () => undefined,
  );
  if (triplet === undefined) return { programs, notes: ["OpenBLAS, BLIS, oneDNN: skipped, no g++ here"] };
  const env = { ...atItsBest, ...(isa !== "avx512" && avx2Only) };
  for (const library of libraries) {
    const { name, debian } = library;
    try {
      const file = await build(library, triplet);
      if (file === undefined) notes.push(`${name}: skipped, Debian's ${debian} is not installed`);
      else programs.push({ name, file, env });
    } catch (error) {
      notes.push(`${name}: skipped, its program does not build: ${(error as Error).message}`);
    }
  }
  // BLIS itself chooses AVX2 on some processors with AVX-512: whichever is faster counts
  const blis = programs.find(({ name }) => name === "BLIS");
  if (blis && isa === "avx512") {
    programs.push({ ...blis, name: "BLIS skx", env: { ...env, BLIS_ARCH_TYPE: blisArchitecture.skx } });
  }
  return { programs, notes };
}

/** The program's path; undefined when the library isn't there. */
async function build({ define, library, header, folders }: Library, triplet: string) {
  for (const folder of folders) {
    const file = path.join("/usr/lib", triplet, folder, library);
    const include = [path.join("/usr/include", triplet, folder), "/usr/include"].find((dir) =>
      existsSync(path.join(dir, header)),
    );
    if (!existsSync(file) || include === undefined) continue;
    const program = path.join(cache, `${define.slice(3).toLowerCase()}-${path.basename(folder)}`);
    if (await newer(program, source)) return program;
    await mkdir(cache, { recursive: true });
    const flags = ["-O2", "-std=c++17", "-fopenmp", `-D${define}`];
    if (include !== "/usr/include") flags.push("-isystem", include);
    await execute("g++", [...flags, source, "-o", program, file, `-Wl,-rpath,${path.dirname(file)}`]);
    return program;
  }
  return undefined;
}

async function newer(file: string, than: string): Promise<boolean> {
  return existsSync(file) && (await stat(file)).mtimeMs > (await stat(than)).mtimeMs;
}

export const startBlas = ({ name, file, env }: BlasProgram): Child => new Child(name, file, [], env);
