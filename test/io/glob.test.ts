import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { baseOfGlob, filesOfGlob } from "../../lib/io/glob.ts";
import { tempDir } from "../support/temp_dir.ts";

const names = [
  "B.gz",
  "a.gz",
  "a.txt",
  "x/a.gz",
  "x/b+c.gz",
  "x/y/a.gz",
  ".hidden.gz",
  ".dot/a.gz",
  "x/10.gz",
  "x/9.gz",
];

test.each([
  ["*.gz", ["B.gz", "a.gz"]],
  ["**/*.gz", ["B.gz", "a.gz", "x/10.gz", "x/9.gz", "x/a.gz", "x/b+c.gz", "x/y/a.gz"]],
  ["x/**/a.gz", ["x/a.gz", "x/y/a.gz"]],
  ["*/?.gz", ["x/9.gz", "x/a.gz"]],
  ["x/[0-9]*.gz", ["x/10.gz", "x/9.gz"]],
  ["x/[!0-9].gz", ["x/a.gz"]],
  ["{a,x/y/a}.{gz,txt}", ["a.gz", "a.txt", "x/y/a.gz"]],
  ["x/b+c.gz", ["x/b+c.gz"]],
  ["x/b+*", ["x/b+c.gz"]],
  ["x", ["x/10.gz", "x/9.gz", "x/a.gz", "x/b+c.gz", "x/y/a.gz"]],
  [".hid*", [".hidden.gz"]],
  ["none/*.gz", []],
  ["none.gz", []],
])("%s", async (pattern, wanted) => {
  const dir = tempDir();
  for (const name of names) {
    mkdirSync(path.dirname(path.join(dir, name)), { recursive: true });
    writeFileSync(path.join(dir, name), "");
  }
  const found = await filesOfGlob(path.join(dir, pattern));
  expect(found.map((file) => path.relative(dir, file))).toEqual(wanted);
});

test.each([
  ["a/b/*.gz", "a/b"],
  ["*.gz", "."],
  ["/*.gz", "/"],
  ["/a/**/b", "/a"],
  ["a/b.gz", "a"],
])("what %s begins with", (pattern, base) => {
  expect(baseOfGlob(pattern)).toBe(base);
});
