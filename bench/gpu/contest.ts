import { device } from "../../lib/core/device.ts";
import type { DType } from "../../lib/core/dtype.ts";
import { sample } from "../measure.ts";
import { filesOf } from "../peers/duel.ts";
import { Operands } from "../workload.ts";
import { floor } from "./ceilings.ts";
import type { GpuArena, GpuCase, GpuDuel, GpuDuelCase } from "./gpu_case.ts";
import { race, type Side, type Standing } from "./race.ts";
import { resultFiles } from "./samples.ts";

/** One line of the table. Without a value there was nothing to compare, or a side was wrong; `note` says what. */
export interface Row {
  figure: string;
  title: string;
  dtype: DType;
  /** The peer in which setting. */
  peer: string;
  /** The peer's time by ours, or what the case measures. */
  value?: number;
  ours?: Standing;
  theirs?: Standing;
  /** What the time should be at least, in seconds, for both sides. */
  floor?: number;
  /** The worst of all results: ‖found - wanted‖ / ‖wanted‖ with wanted in float64. */
  errors: { ours?: number; theirs?: number };
  note: string;
  /** Something is wrong, not only absent. */
  failed: boolean;
}

/** Ours must be so near to float64, a peer's whole bf16 arithmetic twice as near. */
const tolerances: Record<string, { ours: number; theirs: number }> = {
  f32: { ours: 1e-3, theirs: 1e-3 },
  bf16: { ours: 3e-2, theirs: 6e-2 },
};

/** Runs a case: one row for each setting of the peer. What goes wrong stands in a row. */
export async function contest(one: GpuCase, arena: GpuArena): Promise<Row[]> {
  const common = { title: one.title, dtype: one.dtype, peer: "", errors: {}, note: "", failed: false };
  try {
    if ("make" in one) return await duel(one, arena);
    return (await one.measure(arena)).map((row) => ({ ...common, ...row }));
  } catch (error) {
    const figure = "make" in one ? Object.values(one.figures)[0]! : one.figure;
    return [{ ...common, figure, note: firstLine(error), failed: true }];
  }
}

const firstLine = (error: unknown): string => (error as Error).message.split("\n")[0]!;

async function duel(one: GpuDuelCase, arena: GpuArena): Promise<Row[]> {
  using dev = await device(arena.device);
  const work = await one.make(new Operands(dev, one.dtype), arena);
  const ours: Side = { name: "ours", time: (calls) => sample(dev, work.ours, calls) };
  const { peer } = arena;
  const limits = tolerances[one.dtype]!;
  const { inputs, ...judged } = await judge(work, arena);
  const right = judged.ours === undefined || judged.ours <= limits.ours;
  const row = (setting: string, more: Partial<Row>): Row => ({
    figure: one.figures[setting] ?? "",
    title: one.title,
    dtype: one.dtype,
    peer: setting,
    errors: judged,
    note: "",
    failed: !right,
    ...more,
  });
  const { work: name, settings } = work.peers.python!;
  const rows: Row[] = [];
  const sides: { setting: string; error: number; side: Side }[] = [];
  try {
    for (const [setting, options] of peer ? Object.entries(settings) : []) {
      try {
        const error = await errorOf(setting, name, options);
        if (error > limits.theirs) {
          const note = `the peer is ${error.toPrecision(2)} away: not compared`;
          rows.push(row(setting, { errors: { ...judged, theirs: error }, note }));
        } else {
          const side = { name: setting, time: (calls: number) => peer!.time(setting, 1, calls) };
          sides.push({ setting, error, side });
        }
      } catch (error) {
        rows.push(row(setting, { note: `no ${setting}: ${firstLine(error)}` }));
      }
    }
    const [mine, ...others] = await race([ours, ...sides.map(({ side }) => side)], arena.effort);
    if (one.ceiling) {
      const best = Math.min(...[mine!, ...others].map(({ best }) => best));
      arena.ceilings.tensor = Math.max(arena.ceilings.tensor, one.costs[0]!.flops! / best);
    }
    const least = one.costs.length > 0 ? floor(arena.ceilings, one.dtype, one.costs) : undefined;
    const about = { ours: mine!, ...(least !== undefined && { floor: least }) };
    const note = one.tokens ? `ours ${(one.tokens / mine!.median).toFixed(0)} tokens/s` : "";
    const wrong = right ? [] : [`OURS IS WRONG, by ${judged.ours!.toPrecision(2)}`];
    for (const [i, { setting, error }] of sides.entries()) {
      const theirs = others[i]!;
      const value = right ? { value: theirs.median / mine!.median } : {};
      const notes = [...wrong, note].filter(Boolean).join("; ");
      rows.push(
        row(setting, { ...about, ...value, theirs, errors: { ...judged, theirs: error }, note: notes }),
      );
    }
    if (sides.length === 0) {
      const [first = "ours"] = Object.keys(settings);
      const unchecked = peer ? [] : ["no peer, not checked here"];
      rows.push(
        row(peer ? "" : first, { ...about, note: [...wrong, note, ...unchecked].filter(Boolean).join("; ") }),
      );
    }
    return rows;
  } finally {
    // A peer that has ended holds nothing any more; why it did is on its way to whoever called it.
    for (const setting of peer ? Object.keys(settings) : []) await peer!.drop(setting).catch(() => undefined);
  }

  /** How far the peer is from float64; of training steps, from our losses. */
  async function errorOf(setting: string, name: string, options: object): Promise<number> {
    if (work.exact) return Math.max(...(await peer!.errorsOf(setting, name, inputs!, options)));
    const numbers = await peer!.make(setting, name, inputs!, options);
    const expected = await work.check();
    return Math.max(...expected.map((x, i) => Math.abs(x - numbers[i]!) / Math.abs(x)));
  }
}

/** Hands inputs and our results to the peer. */
async function judge(
  work: GpuDuel,
  { peer, folder }: GpuArena,
): Promise<{ ours?: number; inputs?: Awaited<ReturnType<typeof filesOf>> }> {
  if (peer === undefined) return {};
  const inputs = await filesOf(work.inputs, folder);
  if (!work.exact) return { inputs };
  const results = await resultFiles(work.results!, folder);
  const errors = await peer.judge(work.peers.python!.work, inputs, work.exact, results);
  const worst = errors.reduce((a, b) => (b <= a ? a : b)); // NaN is the worst
  return { ours: worst, inputs };
}
