import { expect, test } from "vitest";
import { kernelsIn, kernelTable } from "../../scripts/kernel_table.ts";

const log = `ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_ZN9mixwright4cuda12_GLOBAL__N_110add_kernelIfEEvPT_l' for 'sm_80'
ptxas info    : Function properties for _ZN9mixwright4cuda12_GLOBAL__N_110add_kernelIfEEvPT_l
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 24 registers, used 0 barriers, 370 bytes cmem[0]
ptxas info    : Compiling entry function '_ZN9mixwright4cuda12_GLOBAL__N_110add_kernelIfEEvPT_l' for 'sm_90'
ptxas info    : Function properties for _ZN9mixwright4cuda12_GLOBAL__N_110add_kernelIfEEvPT_l
    48 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 4224 bytes smem, 370 bytes cmem[0]
`;

test("what the assembler said of kernels becomes a table, spills and all", () => {
  const kernels = kernelsIn(log).map((kernel) => ({ ...kernel, source: "add.cuda.cu" }));
  expect(kernels[1]).toEqual({
    name: "add_kernel",
    architecture: "sm_90",
    registers: 255,
    sharedBytes: 4224,
    spilledBytes: 20,
    source: "add.cuda.cu",
  });
  expect(kernelTable(kernels).split("\n")).toEqual([
    "file         kernel      variants  registers  shared B  spilled B  spills on",
    "add.cuda.cu  add_kernel  2         255        4224      20         sm_90",
    "2 variants of 1 kernels, 1 with spills",
  ]);
});
