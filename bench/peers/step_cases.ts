import path from "node:path";
import { saveAdapter } from "../../lib/adapters/peft_format.ts";
import { type Device, device } from "../../lib/core/device.ts";
import type { DType } from "../../lib/core/dtype.ts";
import type { Tensor } from "../../lib/core/tensor.ts";
import { saveModel } from "../../lib/models/save.ts";
import type { TokenBatch } from "../../lib/text/token_batch.ts";
import { batchOf, modelOf, type Subject, subjects, trainingStep } from "../training_step.ts";
import { Operands } from "../workload.ts";
import { filesOf } from "./duel.ts";
import { grownAlone } from "./memory.ts";
import { type DuelCase, inPython, type MeasuredCase, type PeerCase } from "./peer_case.ts";
import { Python } from "./python.ts";

/** LoRA on experts as peft has it: on the fused parameters, gate and up with an A in common. */
export const fusedLora = {
  r: 16,
  lora_alpha: 32,
  target_modules: ["q_proj", "k_proj", "v_proj", "o_proj"],
  target_parameters: ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"],
};

/** Models in few words, of peer_models.py, beside transformers' own with its two kinds of experts. */
const handWritten = ["loop", "slices", "grouped"];

const waysIn = (subject: Subject, dtype: DType, options: object): Record<string, object> => {
  const ways = ["eager", "grouped_mm", ...(dtype === "f32" && !subject.adapter ? handWritten : [])];
  return Object.fromEntries(ways.map((experts) => [experts, { ...options, experts }]));
};

/** What peer_models.py needs to know, once the folder holds the subject's model. */
const optionsOf = (subject: Subject, dtype: DType, dir: string) => ({
  model: dir,
  dtype: dtype === "f32" ? "float32" : "bfloat16",
  clip: subject.clip ?? true,
});

async function save(subject: Subject, device: Device, dtype: DType, dir: string): Promise<void> {
  const bare = modelOf(subject, device, dtype);
  await saveModel(bare, dir);
  bare.dispose();
}

const tokensOf = ({ tokens, offsets }: TokenBatch, o: Operands): Tensor => {
  const documents = offsets.length - 1;
  return o.ints(tokens, [documents, tokens.length / documents]);
};

/** Both sides start from the same files. The losses of the first steps must agree. */
export const whole = (
  subject: Subject,
  dtype: DType,
  folder: string,
  adapted: object = {},
  only: readonly string[] = [],
): DuelCase => ({
  ...(subject === subjects.small && { figure: "C11" }),
  title: `step, ${subject.title}`,
  dtype,
  make: async (o) => {
    const dir = path.join(folder, "model");
    await save(subject, o.device, dtype, dir);
    const { batch, adapter, enqueue } = trainingStep(o.device, dtype, subject);
    const own = "lora" in adapted;
    const adapterDir = path.join(folder, "adapter");
    if (adapter && !own) await saveAdapter(adapter, adapterDir);
    const checked = own ? 1 : 3;
    const common = {
      ...optionsOf(subject, dtype, dir),
      ...(adapter && !own && { adapter: adapterDir }),
      ...adapted,
      checked,
    };
    const ways = Object.entries(waysIn(subject, dtype, common));
    const chosen = ways.filter(([way]) => only.length === 0 || only.includes(way));
    return {
      inputs: { tokens: tokensOf(batch, o) },
      peers: inPython("step", Object.fromEntries(chosen)),
      ours: () => void enqueue(),
      check: async () => {
        const losses: number[] = [];
        for (let i = 0; i < checked; i++) losses.push(await enqueue());
        return losses;
      },
    };
  },
});

/** Memory that is kept for the next call would count. */
const asUsual = { GLIBC_TUNABLES: "" };

/**
 * Each side in a process of its own, PyTorch in every way: by how much the memory of a process grows while it trains, over
 * what it holds once the weights stand. The way that takes the least counts.
 */
const stepMemory = (subject: Subject): MeasuredCase => ({
  figure: "C13",
  title: `step, ${subject.title}: memory over the weights`,
  dtype: "f32",
  measure: async ({ peers, folder, isa }) => {
    const python = peers.find((peer) => peer instanceof Python);
    if (python === undefined) return { note: "no python" };
    const dir = path.join(folder, "model");
    using dev = await device("cpu");
    await save(subject, dev, "f32", dir);
    const o = new Operands(dev, "f32");
    const inputs = await filesOf({ tokens: tokensOf(batchOf(subject), o) }, folder);
    const ours = await grownAlone("step", isa);
    const theirs: { way: string; bytes: number }[] = [];
    for (const [way, options] of Object.entries(waysIn(subject, "f32", optionsOf(subject, "f32", dir)))) {
      const fresh = python.another(asUsual);
      try {
        theirs.push({ way, bytes: await fresh.grow("step", inputs, options, 3) });
      } finally {
        await fresh.end();
      }
    }
    const least = theirs.reduce((a, b) => (b.bytes < a.bytes ? b : a));
    const mebi = (bytes: number): string => (bytes / 2 ** 20).toFixed(0);
    const note = `ours ${mebi(ours)} MiB, ${theirs.map(({ way, bytes }) => `${way} ${mebi(bytes)}`).join(", ")}`;
    return { value: ours / least.bytes, note };
  },
});

export const stepCases = (folder: string): readonly PeerCase[] => [
  whole(subjects.small, "f32", folder),
  stepMemory(subjects.small),
  whole(subjects.mixtral, "f32", folder),
  whole(subjects.mixtral, "bf16", folder),
  whole(subjects.olmoe, "f32", folder),
  whole(subjects.doraAttention, "f32", folder),
  whole(subjects.lora, "f32", folder, { lora: fusedLora }),
];
