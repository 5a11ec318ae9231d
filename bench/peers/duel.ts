import { writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { device } from "../../lib/core/device.ts";
import { type Sample, sample } from "../measure.ts";
import { Operands } from "../workload.ts";
import type { Duel, PeerCase } from "./peer_case.ts";
import type { Python } from "./python.ts";

/** Without an outcome the sides disagreed, or Python couldn't; `note` says what. */
export interface Result {
  title: string;
  dtype: string;
  outcome?: Outcome;
  note: string;
  /** Processes that were running or waiting to, at the end, on average of a minute. */
  load: number;
}

interface Outcome {
  ours: Standing;
  peer: Standing;
  /** The peer's fastest setting. */
  setting: string;
}

/** Median time of a call, and the processors the side got on average. */
interface Standing {
  seconds: number;
  processors: number;
}

interface Contender {
  name: string;
  /** Of one call. */
  time: (calls: number) => Promise<Sample>;
  samples: Sample[];
}

const sampleSeconds = 0.06;
const rounds = { min: 4, max: 15 };
const budgetMs = 6000;
const tolerances = { f32: 1e-3, bf16: 3e-2, i32: 0 };

/**
 * Runs a case on both sides. Both must come to the same numbers; then they take turns, the peer in every setting and with
 * one thread and two, but for the settings that need over twice its best time. Medians count, and the peer's best one.
 */
export async function duel(peerCase: PeerCase, python: Python, folder: string): Promise<Result> {
  const { title, dtype } = peerCase;
  using dev = await device("cpu");
  const work = await peerCase.make(new Operands(dev, dtype));
  const inputs = await filesOf(work, folder);
  const expected = await work.check();
  const peers: Contender[] = [];
  const notes: string[] = [];
  const ids: string[] = [];
  for (const [name, options] of Object.entries(work.settings)) {
    ids.push(name);
    try {
      const { check } = await python.ask<{ check: number[] }>({
        make: name,
        case: work.python,
        inputs,
        options,
      });
      const fault = disagreement(expected, check, tolerances[dtype]);
      if (fault) notes.push(`${name} differs: ${fault}`);
      else peers.push(...threadsOf(python, name));
    } catch (error) {
      notes.push(`${name}: ${(error as Error).message.split("\n")[0]}`);
    }
  }
  const ours: Contender = {
    name: "ours",
    time: (calls) => sample(dev, work.ours, calls),
    samples: [],
  };
  const outcome = peers.length > 0 ? await compete(ours, peers) : undefined;
  for (const drop of ids) await python.ask({ drop });
  return { title, dtype, ...(outcome && { outcome }), note: notes.join("; "), load: os.loadavg()[0]! };
}

const threadsOf = (python: Python, name: string): Contender[] =>
  [1, 2].map((threads) => ({
    name: `${name}, ${threads} thread${threads > 1 ? "s" : ""}`,
    time: (calls) => python.ask<Sample>({ time: name, threads, calls }),
    samples: [],
  }));

async function compete(ours: Contender, peers: readonly Contender[]): Promise<Outcome> {
  const first = new Map<Contender, number>();
  for (const contender of [ours, ...peers]) {
    await contender.time(1);
    first.set(contender, (await contender.time(1)).seconds);
  }
  const fastest = Math.min(...peers.map((peer) => first.get(peer)!));
  const left = [ours, ...peers.filter((peer) => first.get(peer)! <= 2 * fastest)];
  const start = performance.now();
  for (let r = 0; r < rounds.max && (r < rounds.min || performance.now() - start < budgetMs); r++) {
    for (const contender of left) {
      const calls = Math.max(1, Math.round(sampleSeconds / first.get(contender)!));
      contender.samples.push(await contender.time(calls));
    }
  }
  const standings = left.slice(1).map(({ name, samples }) => ({ setting: name, peer: standing(samples) }));
  const best = standings.reduce((a, b) => (b.peer.seconds < a.peer.seconds ? b : a));
  return { ours: standing(ours.samples), ...best };
}

function standing(samples: readonly Sample[]): Standing {
  const seconds = samples.map((one) => one.seconds).sort((a, b) => a - b);
  const sum = (of: keyof Sample): number => samples.reduce((total, one) => total + one[of], 0);
  return { seconds: seconds[seconds.length >> 1]!, processors: sum("cpuSeconds") / sum("seconds") };
}

/** Inputs as raw files: bf16 widened to f32. */
async function filesOf({ inputs }: Duel, folder: string): Promise<object> {
  const files: Record<string, object> = {};
  for (const [name, tensor] of Object.entries(inputs)) {
    const file = path.join(folder, name);
    await writeFile(file, await tensor.data());
    files[name] = { file, shape: tensor.shape, dtype: tensor.dtype };
  }
  return files;
}

function disagreement(
  ours: readonly number[],
  theirs: readonly number[],
  tolerance: number,
): string | undefined {
  const at = ours.findIndex(
    (x, i) => !(Math.abs(x - theirs[i]!) <= tolerance * Math.max(Math.abs(x), Math.abs(theirs[i]!))),
  );
  return at === -1 && ours.length === theirs.length
    ? undefined
    : `number ${at} is ${ours[at]} here, ${theirs[at]} there`;
}
