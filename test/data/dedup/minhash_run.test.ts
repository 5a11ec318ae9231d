import { mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { minhash } from "../../../lib/data/dedup/minhash.ts";
import { clusters, equalBuckets, signature } from "../../../lib/data/dedup/signature.ts";
import {
  contentOf,
  type DedupRow,
  keptRows,
  nearCopies,
  readGzipRows,
  writeRows,
} from "../../support/dedup_files.ts";
import { tempDir } from "../../support/temp_dir.ts";

/** Which rows stay, found by comparing each with each. */
function keptSlowly(rows: readonly DedupRow[], choose: (members: readonly number[]) => number | undefined) {
  const signatures = rows.map(({ text }) => signature(text));
  const edges: [number, number][] = [];
  for (let i = 0; i < rows.length; i++)
    for (let j = i + 1; j < rows.length; j++)
      if (equalBuckets(signatures[i]!, signatures[j]!).length > 0) edges.push([i, j]);
  return clusters(rows.length, edges)
    .map((members) => (members.length === 1 ? members[0] : choose(members)))
    .filter((i) => i !== undefined)
    .map((i) => rows[i]!.id)
    .sort();
}

const inOrder = (rows: readonly DedupRow[], files: number): DedupRow[] =>
  Array.from({ length: files }, (_, f) => rows.filter((_, i) => i % files === f)).flat();

test.each(["one", "best", "none"] as const)(
  "keeps %s of each cluster, as comparing all with all does",
  async (keep) => {
    const dir = tempDir();
    const rows = nearCopies(90);
    const input = writeRows(path.join(dir, "in"), rows, 3);
    const output = path.join(dir, "out");
    const score = keep === "best" ? "score" : undefined;
    const { read, kept, dropped } = await minhash({ input, output, keep, score }).run({ workers: 1 });
    const ordered = inOrder(rows, 3);
    const scoreOf = (i: number) => ordered[i]!.metadata.score as number;
    const expected = keptSlowly(ordered, (members) => {
      if (keep === "none") return undefined;
      return keep === "one"
        ? members[0]
        : members.reduce((best, i) => (scoreOf(i) > scoreOf(best) ? i : best));
    });
    expect(expected.length).toBeLessThan(rows.length - 10);
    expect(
      keptRows(output)
        .map(({ id }) => id)
        .sort(),
    ).toEqual(expected);
    expect({ read, kept, dropped }).toEqual({
      read: 90,
      kept: expected.length,
      dropped: { duplicate: 90 - expected.length },
    });
  },
);

test("what was dropped names the document that stays", async () => {
  const dir = tempDir();
  const rows = nearCopies(60);
  const input = writeRows(path.join(dir, "in"), rows, 2);
  const output = path.join(dir, "out");
  await minhash({ input: path.join(dir, "in"), output }).run({ workers: 1 });
  const kept = new Set(keptRows(output).map(({ id }) => id));
  let seen = 0;
  for (const name of ["00000.jsonl.gz", "00001.jsonl.gz"]) {
    const removed = readGzipRows(path.join(output, "removed", name));
    const matches = readGzipRows<{
      file: string;
      document: number;
      id: string;
      of: { file: string; document: number };
    }>(path.join(output, "matches", name));
    expect(matches.map(({ id }) => id)).toEqual(removed.map(({ id }) => id));
    for (const [i, { file, document, id, of }] of matches.entries()) {
      const at = (of: { file: string; document: number }) => rows[of.document * 2 + input.indexOf(of.file)]!;
      expect(at({ file, document }).id).toBe(id);
      expect(kept.has(at(of).id)).toBe(true);
      expect(kept.has(id)).toBe(false);
      expect(removed[i]!.metadata.duplicateOf).toEqual(of);
      seen++;
    }
  }
  expect(seen + kept.size).toBe(60);
  expect(seen).toBeGreaterThan(5);
});

test("the bytes are the same for one worker and three, and for little memory and much", async () => {
  const dir = tempDir();
  const input = writeRows(path.join(dir, "in"), nearCopies(80, { words: 40 }), 4);
  const made = async (name: string, workers: number, memoryBytes: number) => {
    const output = path.join(dir, "out");
    await minhash({ input, output, memoryBytes }).run({ workers, state: path.join(dir, name) });
    const all = { ...contentOf(path.join(dir, name)), ...contentOf(output) };
    rmSync(output, { recursive: true });
    return all;
  };
  const first = await made("a", 1, 2 ** 20);
  expect(Object.keys(first).length).toBeGreaterThan(14 * 4 + 14 + 8 + 4);
  expect(await made("b", 3, 2 ** 20)).toEqual(first);
  expect(await made("c", 1, 3000)).toEqual(first); // three signatures at a time
});

test("signatures have datatrove's layout: sorted records of 68 bytes, little-endian", async () => {
  const dir = tempDir();
  const rows = [...nearCopies(20), { id: "short", text: "four words are here", metadata: {} }];
  const input = writeRows(path.join(dir, "in"), rows, 1);
  const state = path.join(dir, "state");
  await minhash({ input, output: path.join(dir, "out") }).run({ workers: 1, state });
  for (let bucket = 0; bucket < 14; bucket++) {
    const name = `signatures/bucket_${String(bucket).padStart(3, "0")}/00000.minhash.sig`;
    const bytes = readFileSync(path.join(state, name));
    expect(bytes.length).toBe(20 * 68);
    const records = Array.from({ length: 20 }, (_, r) => ({
      values: Array.from({ length: 8 }, (_, v) => bytes.readBigUInt64LE(r * 68 + 8 * v)),
      document: bytes.readUInt32LE(r * 68 + 64),
    }));
    for (const { values, document } of records)
      expect(values).toEqual([...signature(rows[document]!.text).slice(8 * bucket, 8 * bucket + 8)]);
    const sorted = [...records].sort((x, y) => {
      const i = x.values.findIndex((value, v) => value !== y.values[v]);
      return i < 0 ? x.document - y.document : x.values[i]! < y.values[i]! ? -1 : 1;
    });
    expect(records).toEqual(sorted);
    const pairs = readFileSync(path.join(state, `buckets/${String(bucket).padStart(5, "0")}_00.dups`));
    expect(pairs.length % 16).toBe(0);
  }
  const removed = readFileSync(path.join(state, "clusters/000000.remove"));
  expect(removed.length % 4).toBe(0);
  expect(removed.length).toBeGreaterThan(0);
});

test("32-bit signatures have records of 36 bytes and find the same kind of pairs", async () => {
  const dir = tempDir();
  const rows = nearCopies(45);
  const input = writeRows(path.join(dir, "in"), rows, 1);
  const output = path.join(dir, "out");
  const { kept } = await minhash({ input, output, precision: 32, hash: "xxhash" }).run({ workers: 1 });
  const bytes = readFileSync(path.join(output, "state/signatures/bucket_000/00000.minhash.sig"));
  expect(bytes.length).toBe(45 * 36);
  expect(kept).toBeLessThan(40);
});

/** Writes u32 and u64 as datatrove would. */
const packed = (...parts: (number | bigint)[]): Buffer =>
  Buffer.concat(
    parts.map((part) => {
      const bytes = Buffer.alloc(typeof part === "bigint" ? 8 : 4);
      if (typeof part === "bigint") bytes.writeBigUInt64LE(part);
      else bytes.writeUInt32LE(part);
      return bytes;
    }),
  );

test("files that datatrove has written are taken: signatures, pairs with its index, numbers to drop", async () => {
  const dir = tempDir();
  const rows = Array.from({ length: 4 }, (_, i) => ({ id: `${i}`, text: `text ${i}`, metadata: {} }));
  const input = writeRows(path.join(dir, "in"), rows, 2); // file 0: rows 0 and 2, file 1: rows 1 and 3
  const options = { input, buckets: 2, hashesPerBucket: 1 };
  const put = (state: string, name: string, bytes: Buffer) => {
    mkdirSync(path.dirname(path.join(dir, state, name)), { recursive: true });
    writeFileSync(path.join(dir, state, name), bytes);
  };
  // From signatures on: in bucket 0 documents 0 of both files are equal.
  put("a", "signatures/bucket_000/00000.minhash.sig", packed(5n, 0, 9n, 1));
  put("a", "signatures/bucket_000/00001.minhash.sig", packed(5n, 0, 2n ** 60n, 1));
  put("a", "signatures/bucket_001/00000.minhash.sig", packed(1n, 0, 2n, 1));
  put("a", "signatures/bucket_001/00001.minhash.sig", packed(3n, 0, 4n, 1));
  const fromSignatures = await minhash({ ...options, output: path.join(dir, "out-a") }).run({
    workers: 1,
    state: path.join(dir, "a"),
    stages: ["buckets", "clusters", "filter"],
  });
  expect(fromSignatures).toEqual({ read: 4, kept: 3, dropped: { duplicate: 1 } });
  expect(readFileSync(path.join(dir, "a/buckets/00000_00.dups"))).toEqual(packed(0, 0, 1, 0));
  expect(keptRows(path.join(dir, "out-a")).map(({ id }) => id)).toEqual(["0", "2", "3"]);

  // From pairs on: document 1 of file 0 is in an index; 0xFFFFFFFF stands for that.
  put("b", "buckets/00000_00.dups", packed(0xffffffff, 0xffffffff, 0, 1));
  put("b", "buckets/00001_00.dups", packed());
  put("b", "buckets/00001_01.dups", packed(0, 0, 1, 1)); // of a second worker
  await minhash({ ...options, output: path.join(dir, "out-b") }).run({
    workers: 1,
    state: path.join(dir, "b"),
    stages: ["clusters", "filter"],
  });
  expect(keptRows(path.join(dir, "out-b")).map(({ id }) => id)).toEqual(["0", "1"]);

  // Numbers to drop alone; none for file 0.
  put("c", "clusters/000001.remove", packed(0));
  await minhash({ ...options, output: path.join(dir, "out-c") }).run({
    workers: 1,
    state: path.join(dir, "c"),
    stages: ["filter"],
  });
  expect(keptRows(path.join(dir, "out-c")).map(({ id }) => id)).toEqual(["0", "2", "3"]);
});

test("texts of an earlier run are dropped, and say which document they are", async () => {
  const dir = tempDir();
  const rows = nearCopies(30);
  const old = writeRows(path.join(dir, "old"), rows.slice(0, 10), 1);
  const first = path.join(dir, "first");
  await minhash({ input: old, output: first }).run({ workers: 1 });
  const index = [path.join(first, "state/signatures")];
  const input = writeRows(path.join(dir, "new"), [rows[3]!, ...rows.slice(12)], 1);
  const output = path.join(dir, "out");
  await minhash({ input, output, index }).run({ workers: 1 });
  const [match] = readGzipRows<{ id: string; of: object }>(path.join(output, "matches/00000.jsonl.gz"));
  expect(match).toMatchObject({ id: "doc-3", of: { index: index[0], file: 0, document: 3 } });
  expect(keptRows(output).some(({ id }) => id === "doc-3")).toBe(false);
});

test("half-written, foreign and unsorted files are named", async () => {
  const dir = tempDir();
  const input = writeRows(path.join(dir, "in"), nearCopies(12), 2);
  const output = path.join(dir, "out");
  const state = path.join(dir, "state");
  const run = (stages?: ("signatures" | "buckets" | "clusters" | "filter")[]) =>
    minhash({ input, output }).run({ workers: 1, state, stages });
  await run(["signatures"]);
  const victim = path.join(state, "signatures/bucket_003/00001.minhash.sig");
  const whole = readFileSync(victim);

  truncateSync(victim, whole.length - 68);
  await expect(run()).rejects.toThrow(/bucket_003\/00001\.minhash\.sig is 340 bytes, 408 bytes were written/);
  rmSync(path.join(state, "signatures/00001.json")); // nobody says how long it was
  truncateSync(victim, whole.length - 1 - 68);
  await expect(run(["buckets"])).rejects.toThrow(
    /00001\.minhash\.sig is 339 bytes, a file of whole records of 68/,
  );

  writeFileSync(victim, Buffer.concat([whole.subarray(68), whole.subarray(0, 68)]));
  await expect(run(["buckets"])).rejects.toThrow(
    /00001\.minhash\.sig: record 5 sorts before the one it follows/,
  );
  rmSync(victim);
  await expect(run(["buckets"])).rejects.toThrow(/bucket_003 holds no signatures of input file 1/);
  writeFileSync(victim, whole);
  writeFileSync(path.join(path.dirname(victim), "00007.minhash.sig"), whole);
  await expect(run(["buckets"])).rejects.toThrow(/00007\.minhash\.sig belongs to none of the 2 input files/);
  rmSync(path.join(path.dirname(victim), "00007.minhash.sig"));
  await run();
  const removed = path.join(state, "clusters/000000.remove");
  rmSync(path.join(state, "clusters/00000.json"));
  rmSync(path.join(state, "clusters/000000.matches"));
  rmSync(path.join(state, "filter"), { recursive: true });
  writeFileSync(removed, packed(3, 77));
  await expect(run(["filter"])).rejects.toThrow(
    /000000\.remove drops 2 documents, 1 of them are among the 6/,
  );
});

test("a state folder isn't taken for another run", async () => {
  const dir = tempDir();
  const input = writeRows(path.join(dir, "in"), nearCopies(6), 1);
  const output = path.join(dir, "out");
  await minhash({ input, output }).run({ workers: 1 });
  await expect(minhash({ input, output, ngram: 6 }).run({ workers: 1 })).rejects.toThrow(
    /state was begun with settings \{"ngram":5.*now it is \{"ngram":6/,
  );
  writeRows(path.join(dir, "in"), nearCopies(7), 1);
  await expect(minhash({ input, output }).run({ workers: 1 })).rejects.toThrow(/was begun with inputs/);
});

test("refusals", async () => {
  const dir = tempDir();
  const output = path.join(dir, "out");
  const input = writeRows(
    path.join(dir, "in"),
    [{ id: "a", text: "one two three four five", metadata: {} }],
    1,
  );
  expect(() => minhash({ input, output, keep: "best" })).toThrow(/keep is "best", score is undefined/);
  expect(() => minhash({ input, output, bucket: 3 } as never)).toThrow(/unknown option "bucket"/);
  await expect(minhash({ input: path.join(dir, "nowhere"), output }).run()).rejects.toThrow(
    /nowhere names no \.jsonl file, names that end in/,
  );
  await expect(
    minhash({ input, output, keep: "best", score: "quality" }).run({ workers: 1 }),
  ).rejects.toThrow(/0\.jsonl:1: quality is undefined, a number was needed/);
  writeFileSync(path.join(dir, "in/bad.jsonl"), '{"id": 1}\n');
  const bad = minhash({ input: path.join(dir, "in/bad.jsonl"), output: path.join(dir, "bad") });
  await expect(bad.run({ workers: 1 })).rejects.toThrow(
    /bad\.jsonl:1: an object with a string "text" was needed/,
  );
  const stopped = minhash({ input, output: path.join(dir, "stopped") });
  await expect(stopped.run({ workers: 1, signal: AbortSignal.abort() })).rejects.toThrow(/aborted/);
});
