import { mkdtemp, rm } from "node:fs/promises";
import path from "node:path";
import { device } from "../../lib/core/device.ts";
import { Python } from "../peers/python.ts";
import { adapterCases } from "./adapter_cases.ts";
import { measureCeilings } from "./ceilings.ts";
import { contest, type Row } from "./contest.ts";
import { figures } from "./figures.ts";
import type { GpuArena, GpuCase } from "./gpu_case.ts";
import { headCases } from "./head_cases.ts";
import { layerCases } from "./layer_cases.ts";
import { productCases } from "./product_cases.ts";
import type { Shapes } from "./shapes.ts";
import { figureLines, head, rowLine } from "./table.ts";

export interface PeersOptions {
  shapes: Shapes;
  /** Our device and PyTorch's. */
  device: string;
  peerDevice: string;
  /** A Python with torch, transformers and peft. */
  interpreter: string;
  /** Where files that both sides read may lie. */
  scratch: string;
  /** Cases that would begin later than this are left out. */
  limitMs: number;
  print: (...lines: string[]) => void;
  /** Gets one object after the other: what was measured, round by round. */
  keep: (entry: object) => void;
}

const figureOf = (one: GpuCase): string => ("make" in one ? Object.values(one.figures)[0]! : one.figure);

/** In the order of the figures: a product of G1 is the ceiling of all others. */
export function casesOf(shapes: Shapes): GpuCase[] {
  const all = [...productCases(shapes), ...layerCases(shapes), ...adapterCases(shapes), ...headCases(shapes)];
  const at = (one: GpuCase): number => figures.findIndex(({ id }) => id.startsWith(figureOf(one)));
  return all.sort((a, b) => at(a) - at(b));
}

/** The interpreter at work, or why there is none. */
async function started(options: PeersOptions): Promise<{ peer?: Python; versions: string }> {
  const peer = new Python(options.interpreter, { MIXWRIGHT_PEERS_DEVICE: options.peerDevice });
  try {
    const versions = Object.entries(await peer.versions()).map(([name, version]) => `${name} ${version}`);
    return { peer, versions: versions.join(", ") };
  } catch (error) {
    const reason = (error as Error).message;
    return {
      versions: `none (${reason}): ${options.interpreter} has no torch, transformers and peft for the device`,
    };
  }
}

/** Figures G1 to G12 of performance.md, as Markdown. Returns the rows. */
export async function comparePeers(options: PeersOptions): Promise<Row[]> {
  const { shapes, print, keep } = options;
  const begun = performance.now();
  const { peer, versions } = await started(options);
  const folder = await mkdtemp(path.join(options.scratch, "mixwright-peers-"));
  const rows: Row[] = [];
  try {
    const ceilings = await (async () => {
      using dev = await device(options.device);
      return await measureCeilings(dev, shapes.copyBytes);
    })();
    const { copy, fma } = ceilings;
    print("", `Peers: ${versions}.`);
    print(
      `Measured here: copy ${(copy / 1e9).toFixed(0)} GB/s, f32 FMA ${(fma / 1e12).toPrecision(3)} TFLOP/s; the bf16 ceiling ` +
        "is the fastest product of G1. Recomputation is no work. Errors: ‖found - float64‖ / ‖float64‖, the worst result.",
    );
    print("", ...head);
    keep({ peers: versions, ceilings });
    const arena: GpuArena = { peer, device: options.device, folder, effort: shapes.effort, ceilings };
    for (const one of casesOf(shapes)) {
      const from = performance.now();
      const late = from - begun > options.limitMs;
      const its: Row[] = late
        ? [
            {
              ...one,
              figure: figureOf(one),
              peer: "",
              errors: {},
              note: "left out: time is up",
              failed: false,
            },
          ]
        : await contest(one, arena);
      const seconds = (performance.now() - from) / 1e3;
      print(...its.map(rowLine));
      for (const row of its) keep({ ...row, seconds });
      rows.push(...its);
    }
    print("", `bf16 ceiling: ${(ceilings.tensor / 1e12).toPrecision(3)} TFLOP/s.`);
    print("", ...figureLines(rows), "");
  } finally {
    await peer?.end();
    await rm(folder, { recursive: true });
  }
  return rows;
}
