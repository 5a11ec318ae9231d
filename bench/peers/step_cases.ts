import path from "node:path";
import { saveAdapter } from "../../lib/adapters/peft_format.ts";
import type { DType } from "../../lib/core/dtype.ts";
import { saveModel } from "../../lib/models/save.ts";
import { modelOf, type Subject, subjects, trainingStep } from "../training_step.ts";
import { type DuelCase, inPython } from "./peer_case.ts";

/** LoRA on experts as peft has it: on the fused parameters, gate and up with an A in common. */
const fusedLora = {
  r: 16,
  lora_alpha: 32,
  target_modules: ["q_proj", "k_proj", "v_proj", "o_proj"],
  target_parameters: ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"],
};

/** Both sides start from the same files. The losses of the first steps must agree. */
const whole = (subject: Subject, dtype: DType, folder: string, adapted: object = {}): DuelCase => ({
  title: `step, ${subject.title}`,
  dtype,
  make: async (o) => {
    const dir = path.join(folder, "model");
    const bare = modelOf(subject, o.device, dtype);
    await saveModel(bare, dir);
    bare.dispose();
    const { batch, adapter, enqueue } = trainingStep(o.device, dtype, subject);
    const own = "lora" in adapted;
    const adapterDir = path.join(folder, "adapter");
    if (adapter && !own) await saveAdapter(adapter, adapterDir);
    const checked = own ? 1 : 3;
    const common = {
      model: dir,
      dtype: dtype === "f32" ? "float32" : "bfloat16",
      ...(adapter && !own && { adapter: adapterDir }),
      ...adapted,
      checked,
    };
    const documents = batch.offsets.length - 1;
    return {
      inputs: {
        tokens: o.ints(batch.tokens, [documents, batch.tokens.length / documents]),
      },
      peers: inPython("step", {
        eager: { ...common, experts: "eager" },
        grouped_mm: { ...common, experts: "grouped_mm" },
      }),
      ours: () => void enqueue(),
      check: async () => {
        const losses: number[] = [];
        for (let i = 0; i < checked; i++) losses.push(await enqueue());
        return losses;
      },
    };
  },
});

export const stepCases = (folder: string): readonly DuelCase[] => [
  whole(subjects.mixtral, "f32", folder),
  whole(subjects.mixtral, "bf16", folder),
  whole(subjects.olmoe, "f32", folder),
  whole(subjects.doraAttention, "f32", folder),
  whole(subjects.lora, "f32", folder, { lora: fusedLora }),
];
