import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";

const build = path.resolve(import.meta.dirname, "../../build");
const objects = path.join(build, "Release/obj.target");
const newer = ["avx2", "avx512"].map((isa) => path.join(objects, `kernels_${isa}.a`));
const baseline = path.join(objects, "kernels_baseline.a");
const possible = newer.every((file) => existsSync(file)) && spawnSync("nm", ["--version"]).status === 0;

/** Functions and tables that files define, mangled; weak ones alone, or all. */
function symbols(files: readonly string[], kinds: RegExp): string[] {
  const listed = execFileSync("nm", ["--defined-only", ...files], {
    encoding: "utf8",
    maxBuffer: 1 << 28,
    stdio: "pipe",
  });
  return [...listed.matchAll(/^[0-9a-f]+ (\w) (\S+)$/gm)]
    .filter(([, kind]) => kinds.test(kind!))
    .map(([, , name]) => name!);
}

// A function that several object files define (a template, an inline function) is linked once: the first one the linker
// meets. If that copy was compiled for AVX2 or AVX-512, older processors crash in it. See native/README.md, "Copies".
test.runIf(possible)("code compiled for newer processors is linked into nothing else", () => {
  const makefile = readFileSync(path.join(build, "mixwright.target.mk"), "utf8");
  expect(makefile).toMatch(
    /mixwright\.node: \$\(OBJS\) \S+kernels_baseline\.a \S+kernels_avx2\.a \S+kernels_avx512\.a/,
  );

  const shared = symbols(newer, /[WVu]/).filter((name) => !/4avx2|6avx512/.test(name));
  const core = readdirSync(path.join(objects, "mixwright"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".o"))
    .map((file) => path.join(objects, "mixwright", file));
  const metBefore = new Set(symbols([...core, baseline], /[TWVu]/));
  expect(shared.length).toBeGreaterThan(0);
  expect(shared.filter((name) => !metBefore.has(name))).toEqual([]);
});
