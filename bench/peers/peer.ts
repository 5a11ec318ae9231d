import type { DType } from "../../lib/core/dtype.ts";
import type { Sample } from "../measure.ts";

/** Raw numbers on disk. */
export interface InputFile {
  file: string;
  shape: readonly number[];
  dtype: DType;
}

/** A program that can do our work: a child process that holds what it needs between calls. */
export interface Peer {
  /** What cases call it in `Duel.peers`. */
  readonly name: string;
  /** For the head of a table: `{ torch: "2.13.0" }`. */
  versions(): Promise<Record<string, string>>;
  /** Prepares `work` in one setting under the name `id`, does it once and says its check numbers. Throws if it can't. */
  make(
    id: string,
    work: string,
    inputs: Readonly<Record<string, InputFile>>,
    options: object,
  ): Promise<number[]>;
  /** Time of one call, on average of so many. */
  time(id: string, threads: number, calls: number): Promise<Sample>;
  drop(id: string): Promise<void>;
  end(): Promise<void>;
}

/** Each thread on a processor of its own (or both may land on one); memory is kept and on huge pages. */
const atItsBest = {
  OMP_PROC_BIND: "true",
  GLIBC_TUNABLES:
    "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=17179869184",
};

/** So that children use no more than this instruction set; "" is the machine's best. */
function heldTo(isa: string, processor: string): Record<string, string> {
  if (isa === "" || isa === "avx512") return {};
  if (isa !== "avx2") throw new Error(`bench:peers: --isa ${isa}, peers can be held to avx2 only`);
  return {
    ATEN_CPU_CAPABILITY: "avx2",
    MKL_ENABLE_INSTRUCTIONS: "AVX2",
    ONEDNN_MAX_CPU_ISA: "AVX2",
    DNNL_MAX_CPU_ISA: "AVX2", // its name up to oneDNN 2
    OPENBLAS_CORETYPE: processor.includes("AMD") ? "Zen" : "Haswell",
    BLIS_ARCH_TYPE: "6", // zen3; BLIS 0.9 knows numbers only, and takes a name for 0, which is AVX-512
  };
}

/** What children get in their environment. `processor` is its model name, `isa` the instruction set of both sides. */
export const environmentOf = (isa: string, processor: string): Record<string, string> => ({
  ...atItsBest,
  ...heldTo(isa, processor),
});
