import { mkdtemp, readFile, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { pairedRatio } from "../../bench/measure.ts";
import { runCase } from "../../bench/peers/duel.ts";
import type { InputFile, Peer } from "../../bench/peers/peer.ts";
import { type DuelCase, forwardDuel } from "../../bench/peers/peer_case.ts";
import { device } from "../../lib/core/device.ts";
import { run } from "../../lib/core/run.ts";
import { scale } from "../../lib/ops/add.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), "mixwright-duel-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** Doubles numbers, and says that a call takes `seconds`, on two threads half of it. */
class Doubler implements Peer {
  readonly name = "doubler";
  readonly timed: string[] = [];
  readonly held = new Map<string, number>();

  async versions() {
    return {};
  }

  async make(id: string, _: string, inputs: Readonly<Record<string, InputFile>>, options: object) {
    const { factor = 2, seconds } = options as { factor?: number; seconds: number };
    if (factor === 0) throw new Error("it cannot");
    this.held.set(id, seconds);
    const bytes = await readFile(inputs.x!.file);
    const x = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    return [x.reduce((sum, value) => sum + (factor * value) ** 2, 0)];
  }

  async time(id: string, threads: number) {
    this.timed.push(`${id} ${threads}`);
    return { seconds: this.held.get(id)! / threads, cpuSeconds: this.held.get(id)! };
  }

  async drop(id: string) {
    this.held.delete(id);
  }

  async end() {
    this.held.clear();
  }
}

const doubling = (settings: Record<string, object>, more: Partial<DuelCase> = {}): DuelCase => ({
  figure: "C1",
  title: "doubling",
  dtype: "f32",
  make: (o) => {
    const x = o.normal([33]);
    const peers = { doubler: { work: "double", settings } };
    return forwardDuel(() => scale(x, 2), { inputs: { x }, peers });
  },
  ...more,
});

test("the peer's fastest setting and number of threads counts", async () => {
  const peer = new Doubler();
  const settings = { slow: { seconds: 9 }, fast: { seconds: 4 }, idle: { seconds: 90 } };
  const { value, outcome, note, figure } = await runCase(doubling(settings), {
    peers: [peer],
    folder,
    isa: "",
  });
  expect(outcome).toMatchObject({ setting: "fast, 2 threads", peer: { seconds: 2 } });
  expect(value).toBe(2 / outcome!.ours.seconds);
  expect({ note, figure }).toEqual({ note: "", figure: "C1" });
  expect(peer.timed).not.toContain("idle 1");
  expect(peer.held.size).toBe(0);
});

test("who comes to other numbers, or fails, is out, and the note says so", async () => {
  const settings = {
    triple: { seconds: 1, factor: 3 },
    none: { seconds: 1, factor: 0 },
    two: { seconds: 5 },
  };
  const arena = { peers: [new Doubler()], folder, isa: "" };
  const { outcome, note } = await runCase(doubling(settings), arena);
  expect(outcome?.setting).toBe("two, 2 threads");
  expect(note).toMatch(/^triple differs: number 0 is .* here, .* there; none: it cannot$/);
});

test("a case may fix the threads of both sides, or time the peer once", async () => {
  const [fixed, once] = [new Doubler(), new Doubler()];
  const settings = { two: { seconds: 5 } };
  await runCase(doubling(settings, { threads: 1 }), { peers: [fixed], folder, isa: "baseline" });
  expect(new Set(fixed.timed)).toEqual(new Set(["two 1"]));
  const { outcome } = await runCase(doubling(settings, { once: true }), { peers: [once], folder, isa: "" });
  expect(once.timed).toEqual(["two 2"]);
  expect(outcome?.peer).toEqual({ seconds: 2.5, processors: 2 });
});

test("without the peer nothing is compared", async () => {
  const result = await runCase(doubling({ two: { seconds: 1 } }), { peers: [], folder, isa: "" });
  expect(result).toMatchObject({ note: "no doubler" });
  expect(result.value).toBeUndefined();
});

test("a ratio of neighbouring times is above one for more work", async () => {
  using dev = await device("cpu", { threads: 1 });
  const [x, y] = [dev.full([512, 512]), dev.empty([512, 512])];
  const once = () => run("matmul", x, x, undefined, y, false, true, 1, false);
  const thrice = () => {
    for (let i = 0; i < 3; i++) once();
  };
  const { ratio, over, under } = await pairedRatio(dev, thrice, once);
  expect(ratio).toBeGreaterThan(1.2);
  expect(over).toBeGreaterThan(under);
});
