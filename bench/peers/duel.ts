import { writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { device } from "../../lib/core/device.ts";
import type { Tensor } from "../../lib/core/tensor.ts";
import { type Sample, sample } from "../measure.ts";
import { Operands } from "../workload.ts";
import type { InputFile, Peer } from "./peer.ts";
import type { Arena, DuelCase, PeerCase } from "./peer_case.ts";

/** Without a value the sides disagreed, or a peer couldn't; `note` says what. */
export interface Result {
  figure?: string;
  title: string;
  dtype: string;
  /** The peer's time by ours, or what the case measures. */
  value?: number;
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

/** A peer in one setting, with each number of threads. The most threads come first. */
type Entrant = readonly Contender[];

const sampleSeconds = 0.06;
const rounds = { min: 3, max: 15 };
const budgetMs = 3000;
/** Who needs so many times the best time at first is out. */
const hopeless = 1.6;
const tolerances = { f32: 1e-3, bf16: 3e-2, i32: 0 };

/** Runs a case. `value` is the peer's best time by ours, or the number measured. */
export async function runCase(one: PeerCase, arena: Arena): Promise<Result> {
  const { figure, title, dtype } = one;
  const found = "make" in one ? await duel(one, arena) : await one.measure(arena);
  return { ...(figure && { figure }), title, dtype, ...found, load: os.loadavg()[0]! };
}

/**
 * All sides must come to the same numbers; then they take turns, peers in every setting and with one thread and two, but for
 * those that have no hope. Medians count, and the best peer's.
 */
async function duel(one: DuelCase, arena: Arena): Promise<Pick<Result, "value" | "outcome" | "note">> {
  using dev = await device("cpu", { isa: arena.isa, ...(one.threads && { threads: one.threads }) });
  const work = await one.make(new Operands(dev, one.dtype));
  const wanted = Object.keys(work.peers);
  if (!arena.peers.some(({ name }) => wanted.includes(name))) return { note: `no ${wanted.join(", no ")}` };
  const inputs = await filesOf(work.inputs, arena.folder);
  const expected = await work.check();
  const entrants: Entrant[] = [];
  const notes: string[] = [];
  const made: [Peer, string][] = [];
  for (const [name, { work: its, settings }] of Object.entries(work.peers)) {
    const peer = arena.peers.find((each) => each.name === name);
    if (peer === undefined) notes.push(`no ${name}`);
    else {
      for (const [setting, options] of Object.entries(settings)) {
        made.push([peer, setting]);
        try {
          const fault = disagreement(
            expected,
            await peer.make(setting, its, inputs, options),
            tolerances[one.dtype],
          );
          if (fault) notes.push(`${setting} differs: ${fault}`);
          else entrants.push(entrantOf(peer, setting, one.threads ? [one.threads] : one.once ? [2] : [2, 1]));
        } catch (error) {
          notes.push(`${setting}: ${(error as Error).message.split("\n")[0]}`);
        }
      }
    }
  }
  const ours: Contender = {
    name: "ours",
    time: (calls) => sample(dev, work.ours, calls),
    samples: [],
  };
  const outcome = entrants.length > 0 ? await compete(ours, entrants, one.once ?? false) : undefined;
  for (const [peer, setting] of made) await peer.drop(setting);
  const value = outcome && outcome.peer.seconds / outcome.ours.seconds;
  return { ...(value !== undefined && { value, outcome }), note: notes.join("; ") };
}

const entrantOf = (peer: Peer, setting: string, threads: readonly number[]): Entrant =>
  threads.map((count) => ({
    name: `${setting}, ${count} thread${count > 1 ? "s" : ""}`,
    time: (calls) => peer.time(setting, count, calls),
    samples: [],
  }));

async function compete(ours: Contender, entrants: readonly Entrant[], once: boolean): Promise<Outcome> {
  const first = new Map<Contender, number>();
  const tried = async (one: Contender): Promise<number> => {
    let shown = await one.time(1);
    if (shown.seconds < 0.3) shown = await one.time(1); // caches, thread pools
    first.set(one, shown.seconds);
    if (once && one !== ours) one.samples.push(shown);
    return shown.seconds;
  };
  await tried(ours);
  let fastest = Number.POSITIVE_INFINITY;
  for (const [most] of entrants) fastest = Math.min(fastest, await tried(most!));
  for (const [most, ...fewer] of entrants) {
    if (first.get(most!)! > hopeless * fastest) continue;
    for (const one of fewer) fastest = Math.min(fastest, await tried(one));
  }
  const peers = [...first.keys()].filter((one) => one !== ours && first.get(one)! <= hopeless * fastest);
  const start = performance.now();
  for (let r = 0; r < rounds.max && (r < rounds.min || performance.now() - start < budgetMs); r++) {
    for (const contender of once ? [ours] : [ours, ...peers]) {
      const calls = Math.max(1, Math.round(sampleSeconds / first.get(contender)!));
      contender.samples.push(await contender.time(calls));
    }
  }
  const standings = peers.map(({ name, samples }) => ({ setting: name, peer: standing(samples) }));
  const best = standings.reduce((a, b) => (b.peer.seconds < a.peer.seconds ? b : a));
  return { ours: standing(ours.samples), ...best };
}

function standing(samples: readonly Sample[]): Standing {
  const seconds = samples.map((one) => one.seconds).sort((a, b) => a - b);
  const sum = (of: keyof Sample): number => samples.reduce((total, one) => total + one[of], 0);
  return { seconds: seconds[seconds.length >> 1]!, processors: sum("cpuSeconds") / sum("seconds") };
}

/** Writes tensors for the peers to read, in the format they have. */
export async function filesOf(
  inputs: Readonly<Record<string, Tensor>>,
  folder: string,
): Promise<Record<string, InputFile>> {
  const files: Record<string, InputFile> = {};
  for (const [name, tensor] of Object.entries(inputs)) {
    const file = path.join(folder, name);
    await writeFile(file, await tensor.bytesData());
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
