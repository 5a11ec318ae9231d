import { expect, test } from "vitest";
import { trainingStep } from "../../bench/training_step.ts";
import { device } from "../../lib/core/device.ts";
import { parameterCount } from "../../lib/models/parameter_count.ts";

const config = {
  model_type: "mixtral",
  vocab_size: 64,
  hidden_size: 16,
  intermediate_size: 32,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  num_local_experts: 4,
  num_experts_per_tok: 2,
};
const rank = 4;

test("useful work is 6 FLOP for each active weight and token, 12 for each attended pair and channel", async () => {
  using dev = await device("cpu");
  const { model, costs, tokens, enqueue } = trainingStep(dev, "f32", { title: "all", config });
  const norms = 2 * 2 * 16 + 16;
  const inProducts = parameterCount(model.config).active - 64 * 16 - norms;
  const pairs = 4 * ((512 * 513) / 2);
  expect(tokens).toBe(2048);
  expect(costs.forward.flops! + costs.backward.flops!).toBe(6 * tokens * inProducts + 12 * 2 * 16 * pairs);
  expect(await enqueue()).toBeCloseTo(Math.log(64), 1);
});

test("a frozen base costs a third less, its adapter 6 FLOP for each weight and row", async () => {
  using dev = await device("cpu");
  const options = { rank, targets: ["q_proj", "w2"] };
  const { costs, tokens } = trainingStep(dev, "f32", {
    title: "LoRA",
    config,
    adapter: { kind: "lora", options },
  });
  const { costs: whole } = trainingStep(dev, "f32", { title: "all", config });
  const low = 2 * tokens * rank * (2 * (16 + 16) + 2 * 2 * (32 + 16));
  expect(costs.forward.flops).toBe(whole.forward.flops! + low);
  const attention = 2 * 4 * 16 * 4 * ((512 * 513) / 2);
  const products = whole.forward.flops! - attention;
  expect(costs.backward.flops).toBe(products + 2 * attention + 2 * low);
});
