import path from "node:path";
import { expect, test } from "vitest";
import { native } from "../../lib/core/native.ts";
import { nameFaults, sizeFaults } from "./file_rules.ts";
import { anyFaults, cycleFaults, importFaults, loaderFaults, trainerFaults } from "./lib_rules.ts";
import { includeFaults } from "./native_rules.ts";
import { stemFaults, tableFaults, tableKernels } from "./op_rules.ts";

const root = path.resolve(import.meta.dirname, "../..");

test.each([
  ["lib imports downwards only", importFaults],
  ["lib has no import cycles", cycleFaults],
  ["trainers don't import each other", trainerFaults],
  ["one file of lib loads the engine", loaderFaults],
  ["no type is any", anyFaults],
  ["native includes downwards only", includeFaults],
  ["no file is over 500 lines", sizeFaults],
  ["file names say what they hold", nameFaults],
  ["native op headers, sources and table agree", tableFaults],
  ["every kernel has its op and every op its test", stemFaults],
])("%s", (_, faults) => {
  expect(faults(root)).toEqual([]);
});

test("the engine binds every kernel of the table, with a signature", () => {
  const { ops, signatures } = native();
  expect(Object.keys(ops).sort()).toEqual(tableKernels(root).sort());
  for (const name of Object.keys(ops)) expect(signatures[name], name).toMatch(/^[IOion]+$/);
});
