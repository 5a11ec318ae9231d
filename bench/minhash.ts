/**
 * npx tsx bench/minhash.ts [FILE.jsonl …] [--repeat N]
 *
 * How much text a second and core the MinHash kernels and each stage of dedup.minhash take, by processor time (wall time beside
 * it, which neighbours disturb). Without files it makes text up: 4 000 documents of 300 words.
 */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { gunzipSync } from "node:zlib";
import { Random } from "../lib/core/random.ts";
import { textKernels } from "../lib/data/dedup/characters.ts";
import { type MinhashStage, minhash } from "../lib/data/dedup/minhash.ts";
import { permutations } from "../lib/data/dedup/parameters.ts";

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { repeat: { type: "string", default: "1" } },
});

function textsOf(file: string): string[] {
  const bytes = readFileSync(file);
  const lines = (file.endsWith(".gz") ? gunzipSync(bytes) : bytes).toString().split("\n");
  return lines
    .filter((line) => line.trim() !== "")
    .map((line) => (JSON.parse(line) as { text: string }).text);
}

function madeUp(): string[] {
  const random = new Random(1);
  const word = () =>
    Math.floor(10 ** (1 + 4 * random.uniform() ** 2))
      .toString(36)
      .replace(/\d/g, "e");
  return Array.from({ length: 4000 }, () =>
    Array.from({ length: 300 }, (_, i) => (i % 20 === 19 ? `${word()}.` : word())).join(" "),
  );
}

const once = positionals.length > 0 ? positionals.flatMap(textsOf) : madeUp();
const texts = Array.from({ length: Number(values.repeat) }, () => once).flat();
const megabytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0) / 1e6;
console.log(`${texts.length} documents, ${megabytes.toFixed(1)} MB of text`);

async function timed(name: string, run: () => unknown): Promise<void> {
  const cpu = process.cpuUsage();
  const start = performance.now();
  await run();
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const cpuSeconds = (user + system) / 1e6;
  const rate = (by: number) => (megabytes / by).toFixed(0).padStart(5);
  console.log(`${name.padEnd(34)} ${rate(cpuSeconds)} MB/s a core  (wall ${rate(seconds)} MB/s)`);
}

const kernels = textKernels();
const { a, b } = permutations(112, 1);
for (let round = 0; round < 2; round++) {
  console.log(round === 0 ? "first round, cold" : "second round");
  await timed("normalize", () => texts.forEach((text) => void kernels.normalize(text)));
  for (const hash of ["sha1", "xxhash"] as const) {
    await timed(`shingles, ${hash}`, () =>
      texts.forEach((text) => void kernels.shingleHashes(text, 5, hash, 64, "english")),
    );
    await timed(`signature, ${hash}, 112 permutations`, () =>
      texts.forEach((text) => void kernels.signature(text, 5, hash, 64, "english", a, b)),
    );
  }
}

const hashes = texts.slice(0, 2000).map((text) => kernels.shingleHashes(text, 5, "xxhash", 64, "english"));
const shingles = hashes.reduce((sum, one) => sum + one.length, 0);
for (const isa of ["avx512", "avx2", "baseline"]) {
  const { user } = process.cpuUsage();
  try {
    for (const one of hashes) kernels.permuteMin(one, 64, a, b, isa);
  } catch {
    console.log(`permutations, ${isa}: not on this processor`);
    continue;
  }
  const ns = ((process.cpuUsage().user - user) * 1000) / shingles;
  console.log(`permutations, ${isa}: ${ns.toFixed(1)} ns a shingle`);
}

const dir = mkdtempSync(path.join(tmpdir(), "mixwright-minhash-"));
try {
  const share = Math.ceil(texts.length / 4);
  const input = Array.from({ length: 4 }, (_, f) => {
    const file = path.join(dir, `${f}.jsonl`);
    const rows = texts
      .slice(f * share, (f + 1) * share)
      .map((text, i) => JSON.stringify({ id: `${f}/${i}`, text }));
    writeFileSync(file, `${rows.join("\n")}\n`);
    return file;
  });
  const output = path.join(dir, "out");
  for (const stage of ["signatures", "buckets", "clusters", "filter"] satisfies MinhashStage[])
    await timed(`stage ${stage}`, () => minhash({ input, output }).run({ workers: 1, stages: [stage] }));
  const signed = statSync(path.join(output, "state/signatures/bucket_000/00000.minhash.sig")).size / 68;
  console.log(`${signed} signatures in the first file`);
} finally {
  rmSync(dir, { recursive: true });
}
