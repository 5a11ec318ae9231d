import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import * as schedule from "../../lib/optim/schedule.ts";
import { optimFile, optimTable } from "../../scripts/optim_table.ts";

test("lib/optim/README.md is what the code says; npm run docs:optim writes it anew", async () => {
  const table = await optimTable();
  expect(readFileSync(optimFile, "utf8")).toBe(table);
  for (const name of Object.keys(schedule)) {
    expect(table, `${name} has a plot`).toMatch(new RegExp(`### ${name}\\n[^#]*\`\`\`text\\n${name}\\(`));
  }
});

test("state bytes a parameter are those that the doc comments state", () => {
  const measured = (call: string) =>
    new RegExp(`\\| \`${call.replace(/[(){}[\]."]/g, "\\$&")}\` \\| (\\S+) \\|`).exec(
      readFileSync(optimFile, "utf8"),
    )?.[1];
  const stated: Record<string, [file: string, text: string]> = {
    "adamw()": ["adamw", "State: 8 bytes a parameter"],
    'adamw({ states: "8bit" })': ["adamw", "2.03 bytes a parameter"],
    "adam()": ["adamw", "State: 8 bytes a\n * parameter"],
    "sgd({ momentum: 0.9 })": ["sgd", "State: none, with momentum 4 bytes a parameter"],
    "lion()": ["lion", "State: 4 bytes a parameter"],
    "muon(), a matrix": ["muon", "State: 4 bytes a parameter\n * in matrices, 8 in others"],
  };
  for (const [call, [file, text]] of Object.entries(stated)) {
    expect(readFileSync(new URL(`../../lib/optim/${file}.ts`, import.meta.url), "utf8")).toContain(text);
    expect(text, call).toContain(`${measured(call)} bytes`);
  }
  expect([measured("sgd()"), measured("muon(), an embedding")]).toEqual(["0", "8"]);
});
