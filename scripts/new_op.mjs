// npm run new-op NAME: the files of a new op, all wired up, with bodies that fail until they are written. It starts as an
// op of one operand, y like x, with one gradient; change the signatures from there.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";

const root = path.resolve(import.meta.dirname, "..");
const at = (file) => path.join(root, file);

const header = (stem) => `// TODO the math in one line, the paper. x, y of one shape, f32 or bf16.
#pragma once
#include "core/op.h"

MW_OP(${stem}, (In x, Out y))

// dx = TODO
MW_OP(${stem}_grad, (In dy, In x, Out dx))
`;

const kernel = (stem) => `// Bytes moved: TODO. A task owns TODO.
#include "ops/${stem}.h"

#include "core/checks.h"
#include "cpu/exec.h"
#include "cpu/simd.h"

namespace mixwright::cpu::MW_ISA {

void ${stem}(Exec&, In, Out) { fail("not written yet"); }

void ${stem}_grad(Exec&, In, In, Out) { fail("not written yet"); }

}  // namespace mixwright::cpu::MW_ISA
`;

const cudaKernel = (stem) => `// Bytes moved: TODO. A block owns TODO.
#include "ops/${stem}.h"

#include "cuda/launch.h"

namespace mixwright::cuda {

void ${stem}(Exec&, In, Out) { fail("not written yet"); }

void ${stem}_grad(Exec&, In, In, Out) { fail("not written yet"); }

}  // namespace mixwright::cuda
`;

const op = (stem, name) => `import { run } from "../core/run.ts";
import { record } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { check, type OpSpec } from "./spec.ts";

export const spec: OpSpec = {
  name: "${name}",
  kernels: ["${stem}", "${stem}_grad"],
  math: "y = TODO",
  inputs: { x: "[...T, D] float" },
  outputs: { y: "[...T, D] float" },
  tolerance: { f32: 2e-6, bf16: 1e-2 },
};

/** TODO */
export function ${name}(x: Tensor): Tensor {
  check(spec, { x });
  const y = x.device.empty(x.shape, x.dtype);
  run("${stem}", x, y);
  record({
    inputs: [x],
    outputs: [y],
    keeps: [x],
    backward: ([dy], gradients) => {
      const dx = x.device.empty(x.shape, x.dtype);
      run("${stem}_grad", dy, x, dx);
      gradients.give(x, dx);
    },
  });
  return y;
}
`;

const test = (stem, name) => `import { ${[name, "spec"].sort().join(", ")} } from "../../lib/ops/${stem}.ts";
import { checkOp, normal, type OpCase } from "../support/check_op.ts";

const sizes = (title: string, T: number, D: number): OpCase => ({
  title,
  floats: (random) => ({ x: normal([T, D], random) }),
});

checkOp({
  spec,
  cases: [
    sizes("one element", 1, 1),
    sizes("31 columns", 3, 31),
    sizes("33 columns", 40, 33),
    sizes("no rows", 0, 8),
  ],
  call: ({ x }) => ${name}(x!),
  oracle: () => {
    throw new Error("${name}: the oracle is not written yet");
  },
});
`;

const bench = (stem, name) => `import { ${name} } from "../../lib/ops/${stem}.ts";
import type { BenchCase } from "../workload.ts";

const T = 2048;
const D = 1024;

export const cases: BenchCase[] = [
  {
    title: \`T \${T}, D \${D}\`,
    make: (o) => {
      const x = o.normal([T, D]);
      const bytes = o.bytes * T * D;
      return {
        activations: [x],
        call: () => ${name}(x),
        forward: { reads: bytes, writes: bytes },
        backward: { reads: 2 * bytes, writes: bytes },
      };
    },
  },
];
`;

/** Rows of a table, `lines` among them in alphabetical order. `row` finds the rows and their key. */
function withRows(text, row, lines) {
  const all = text.split("\n");
  const first = all.findIndex((line) => row.test(line));
  let end = first;
  while (row.test(all[end])) end++;
  const key = (line) => row.exec(line)[1];
  const rows = [...all.slice(first, end), ...lines].sort((a, b) => (key(a) < key(b) ? -1 : 1));
  return [...all.slice(0, first), ...rows, ...all.slice(end)].join("\n");
}

/** Exports are in the order of their files; one may take several lines. */
function addToIndex(text, stem, name) {
  const begin = text.search(/^export /m);
  const exports = text.slice(begin).match(/^export [^;]+;\n/gm);
  const file = (line) => /"\.\/(\w+)\.ts"/.exec(line)[1];
  exports.push(`export { ${name} } from "./${stem}.ts";\n`);
  return text.slice(0, begin) + exports.sort((a, b) => (file(a) < file(b) ? -1 : 1)).join("");
}

function addToTable(text, stem) {
  const included = withRows(text, /^#include "ops\/(\w+)\.h"/, [`#include "ops/${stem}.h"`]);
  // The last row has no backslash behind it: give it one, and take it from whichever is last afterwards.
  const line = (name) => `${`  X(${name})`.padEnd(33)} \\`;
  const open = included.trimEnd().replace(/^( {2}X\(\w+\))$/m, (row) => `${row.padEnd(33)} \\`);
  const rows = withRows(open, /^ {2}X\((\w+)\)/, [line(stem), line(`${stem}_grad`)]);
  return `${rows.replace(/ *\\$/, "")}\n`;
}

function addToSources(text, stem) {
  const sources = JSON.parse(text);
  const { cpu_sources, cuda_sources } = sources.variables;
  cpu_sources.push(`native/ops/${stem}.cpu.cc`);
  cuda_sources.push(`native/ops/${stem}.cuda.cu`);
  cpu_sources.sort();
  cuda_sources.sort();
  return `${JSON.stringify(sources, null, 2)}\n`;
}

function refuse(message) {
  console.error(`new-op: ${message}`);
  process.exit(1);
}

const [stem, ...rest] = process.argv.slice(2);
if (stem === undefined || rest.length > 0) refuse("one name was needed: npm run new-op NAME");
if (!/^[a-z][a-z0-9]*(_[a-z0-9]+)*$/.test(stem)) refuse(`"${stem}", a name in snake_case was needed`);
const name = stem.replace(/_(.)/g, (_, letter) => letter.toUpperCase());

const files = {
  [`native/ops/${stem}.h`]: header(stem),
  [`native/ops/${stem}.cpu.cc`]: kernel(stem),
  [`native/ops/${stem}.cuda.cu`]: cudaKernel(stem),
  [`lib/ops/${stem}.ts`]: op(stem, name),
  [`test/ops/${stem}.test.ts`]: test(stem, name),
  [`bench/ops/${stem}.bench.ts`]: bench(stem, name),
};
for (const file of Object.keys(files)) if (existsSync(at(file))) refuse(`${file} exists already`);
const table = readFileSync(at("native/ops/table.h"), "utf8");
for (const row of [stem, `${stem}_grad`]) {
  if (table.includes(`X(${row})`)) refuse(`native/ops/table.h has a kernel ${row} already`);
}

for (const [file, text] of Object.entries(files)) writeFileSync(at(file), text);
writeFileSync(at("native/ops/table.h"), addToTable(table, stem));
writeFileSync(at("native/sources.gypi"), addToSources(readFileSync(at("native/sources.gypi"), "utf8"), stem));
const index = readFileSync(at("lib/ops/index.ts"), "utf8");
writeFileSync(at("lib/ops/index.ts"), addToIndex(index, stem, name));
const { status } = spawnSync("npm", ["run", "--silent", "docs:ops"], { cwd: root, stdio: "inherit" });

console.log(
  `${Object.keys(files).join("\n")}\n\nnow: the math and operands in the .h and the spec, the oracle in the test, then the kernel.\n` +
    `npm run build:native && npx vitest run test/ops/${stem}`,
);
process.exit(status ?? 1);
