import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { opsTable, tableFile } from "../../scripts/ops_table.ts";

test("lib/ops/README.md is what the specs say; npm run docs:ops writes it anew", async () => {
  const table = await opsTable();
  expect(readFileSync(tableFile, "utf8")).toBe(table);
  for (const name of ["rotaryTable", "rotary", "doraNorm", "doraCompose", "routerZLoss"]) {
    expect(table).toContain(`[\`${name}\`]`);
  }
});
