import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { tempDir } from "../support/temp_dir.ts";
import { nameFaults, sizeFaults } from "./file_rules.ts";
import { anyFaults, cycleFaults, importFaults, loaderFaults, trainerFaults } from "./lib_rules.ts";
import { includeFaults } from "./native_rules.ts";
import { stemFaults, tableFaults } from "./op_rules.ts";

/** A project of just these files. */
function project(files: Record<string, string>): string {
  const root = tempDir();
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(root, name)), { recursive: true });
    writeFileSync(path.join(root, name), text);
  }
  return root;
}

test("imports upwards, of index.ts, of packages and of unknown folders are found", () => {
  const root = project({
    "lib/core/a.ts": 'import type { Op } from "../ops/op.ts";\nconst lazy = import("zod");',
    "lib/ops/op.ts": 'import { a } from "../core/a.ts";\nexport * from "../index.ts";',
    "lib/io/file.ts":
      'import { readFile } from "node:fs/promises";\nimport type { Chat } from "../text/chat.ts";',
    "lib/io/late.ts": 'import { chat } from "../text/chat.ts";\nimport { Tensor } from "../core/tensor.ts";',
    "lib/data/reader.ts":
      'import { FormatError } from "../core/errors.ts";\nimport { op } from "../ops/op.ts";',
    "lib/cli/main.ts": 'import { device } from "../index.ts";\nimport { Command } from "commander";',
    "lib/extras/x.ts": "export const x = 1;",
  });
  expect(importFaults(root).sort()).toEqual([
    "lib/core/a.ts imports lib/ops/op.ts",
    "lib/core/a.ts imports zod",
    "lib/data/reader.ts imports lib/ops/op.ts",
    "lib/extras/x.ts: no rule says whom lib/extras may know",
    "lib/io/late.ts imports lib/core/tensor.ts",
    "lib/io/late.ts imports lib/text/chat.ts",
    "lib/ops/op.ts imports lib/index.ts",
  ]);
});

test("circles of imports are found, circles of types are not", () => {
  const root = project({
    "lib/core/a.ts": 'import { b } from "./b.ts";',
    "lib/core/b.ts": 'import { c } from "./c.ts";',
    "lib/core/c.ts": 'import { b } from "./b.ts";\nimport type { a } from "./a.ts";',
  });
  expect(cycleFaults(root)).toEqual(["lib/core/b.ts → lib/core/c.ts → lib/core/b.ts"]);
});

test("a trainer that imports another is found", () => {
  const root = project({
    "lib/index.ts":
      'export { trainDpo } from "./train/dpo.ts";\nexport {\n  type SftOptions,\n  trainSft,\n} from "./train/sft.ts";',
    "lib/train/sft.ts": 'import { step } from "./step.ts";',
    "lib/train/dpo.ts": 'import { pack } from "./sft.ts";',
    "lib/train/step.ts": "export const step = 1;",
  });
  expect(trainerFaults(root)).toEqual(["lib/train/dpo.ts imports lib/train/sft.ts"]);
});

test("a second loader of binaries and a type any are found", () => {
  const root = project({
    "lib/core/native.ts": 'require("build/Release/mixwright.node");',
    "lib/text/tokenizer.ts": 'require("./tokenizer.node");\n// any comment\nconst x = y as any;',
  });
  expect(loaderFaults(root)).toEqual([
    "lib/text/tokenizer.ts loads a native binary; only lib/core/native.ts may",
  ]);
  expect(anyFaults(root)).toEqual(["lib/text/tokenizer.ts:3 says any"]);
});

test("includes of Node headers outside of binding/, upwards, and between engines are found", () => {
  const root = project({
    "native/binding/module.cc": '#include <napi.h>\n#include "ops/table.h"',
    "native/core/stream.cc": '#include <vector>\n#include <node_api.h>\n#include "cpu/exec.h"',
    "native/cpu/gemm.h": '#include "core/dtype.h"\n#include "cuda/gemm.h"',
    "native/ops/add.cpu.cc": '#include "cpu/simd.h"\n#include "cuda/vec.h"\n#include <cuda_runtime.h>',
    "native/ops/add.cuda.cu": '#include "cuda/vec.h"\n#include <cuda_runtime.h>\n#include "cpu/simd.h"',
    "native/ops/local.h": '#include "add.h"',
  });
  expect(includeFaults(root).sort()).toEqual([
    "native/core/stream.cc includes cpu/exec.h",
    "native/core/stream.cc includes node_api.h",
    "native/cpu/gemm.h includes cuda/gemm.h",
    "native/ops/add.cpu.cc includes cuda/vec.h",
    "native/ops/add.cpu.cc includes cuda_runtime.h",
    "native/ops/add.cuda.cu includes cpu/simd.h",
    "native/ops/local.h includes add.h",
  ]);
});

test("long files and vague names are found", () => {
  const root = project({
    "lib/core/long.ts": "\n".repeat(501),
    "lib/core/tensor_utils.ts": "",
    "native/common/x.h": "",
    "test/core/camelCase.test.ts": "",
  });
  expect(sizeFaults(root)).toEqual(["lib/core/long.ts has 501 lines, 500 are allowed"]);
  expect(nameFaults(root).map((fault) => fault.split(":")[0])).toEqual([
    "lib/core/tensor_utils.ts",
    "native/common/x.h",
    "test/core/camelCase.test.ts",
  ]);
});

test("an op without its row, source, caller or test is found", () => {
  const op = (...kernels: string[]) => `export const spec: OpSpec = { kernels: ${JSON.stringify(kernels)} };`;
  const root = project({
    "native/sources.gypi":
      '{"variables": {"core_sources": [], "cpu_sources": ["native/ops/add.cpu.cc", "native/ops/a.cpu.cc"], "cuda_sources": ["native/ops/add.cuda.cu"]}}',
    "native/ops/table.h": '#include "ops/add.h"\n#define OPS(X) \\\n  X(scale) \\\n  X(add) \\\n  X(gone)',
    "native/ops/add.h": "MW_OP(add, (In a))\nMW_OP(scale, (In a))\nMW_OP(hidden, (In a))",
    "native/ops/add.cpu.cc": "",
    "native/ops/add.cuda.cu": "",
    "native/ops/mul.cuda.cu": "",
    "native/ops/sub.h": "MW_OP(sub, (In a))",
    "lib/ops/add.ts": op("add", "missing"),
    "lib/ops/index.ts": 'export { add } from "./add.ts";',
    "lib/ops/plus.ts": op("add"),
    "lib/optim/sgd.ts": 'run("gone", x);',
    "test/ops/add.test.ts": "",
    "bench/ops/add.bench.ts": "",
  });
  expect(tableFaults(root).sort()).toEqual([
    "cpu_sources is not in alphabetical order",
    "gone has a row in native/ops/table.h, but no MW_OP in a header",
    "hidden has no row in native/ops/table.h",
    "native/ops/mul.cuda.cu is not in native/sources.gypi",
    "native/ops/sub.cpu.cc is not among the cpu_sources of native/sources.gypi",
    "native/ops/sub.cuda.cu is not among the cuda_sources of native/sources.gypi",
    "native/ops/table.h is not in alphabetical order",
    "native/sources.gypi lists native/ops/a.cpu.cc, which does not exist",
    "sub has no row in native/ops/table.h",
    "table.h does not include native/ops/sub.h",
  ]);
  expect(stemFaults(root).sort()).toEqual([
    "add is claimed by the specs of lib/ops/add.ts and lib/ops/plus.ts",
    "lib/ops/add.ts names the kernel missing, which is not in native/ops/table.h",
    "lib/ops/plus.ts has no bench/ops/plus.bench.ts",
    "lib/ops/plus.ts has no test/ops/plus.test.ts",
    "lib/ops/plus.ts is not in lib/ops/index.ts",
    "nothing in lib/ or bench/ calls the kernel scale",
  ]);
});
