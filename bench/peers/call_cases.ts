import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { device } from "../../lib/core/device.ts";
import { run } from "../../lib/core/run.ts";
import { createModel } from "../../lib/models/create.ts";
import { adamw } from "../../lib/optim/adamw.ts";
import { packBatch } from "../../lib/text/token_batch.ts";
import { pretrain } from "../../lib/train/pretrain.ts";
import type { MeasuredCase } from "./peer_case.ts";

/** A kernel that has nothing to do: called, enqueued, and taken from the queue. */
const emptyCall: MeasuredCase = {
  figure: "C14.call_us",
  title: "fill of an empty tensor",
  dtype: "f32",
  measure: async ({ isa }) => {
    using dev = await device("cpu", { isa });
    const nothing = dev.empty([0]);
    const calls = 10_000; // the queue holds more
    const [called, done]: [number[], number[]] = [[], []];
    for (let round = 0; round < 30; round++) {
      const start = performance.now();
      for (let i = 0; i < calls; i++) run("fill", nothing, 0);
      called.push(performance.now() - start);
      await dev.ready();
      done.push(performance.now() - start);
    }
    const micros = (times: number[]): number =>
      (times.sort((a, b) => a - b)[times.length >> 1]! * 1e3) / calls;
    return { value: micros(done), note: `${micros(called).toFixed(2)} µs of it until the call returns` };
  },
};

const resolutionMs = 1;

/** How late timers are while `during` runs, 99th percentile. */
async function timersLateMs(during: () => Promise<unknown>): Promise<number> {
  const monitor = monitorEventLoopDelay({ resolution: resolutionMs });
  monitor.enable();
  await during();
  monitor.disable();
  return monitor.percentile(99) / 1e6 - resolutionMs;
}

const config = {
  model_type: "mixtral",
  vocab_size: 4096,
  hidden_size: 256,
  intermediate_size: 512,
  num_hidden_layers: 6,
  num_attention_heads: 8,
  num_key_value_heads: 8,
  num_local_experts: 8,
  num_experts_per_tok: 2,
  max_position_embeddings: 256,
};

/** A timer's lateness, beside a training run in the same process. */
const delay: MeasuredCase = {
  figure: "C14.delay_ms",
  title: "pretrain, 6 layers, D 256, E 8 K 2 F 512, 8 × 256 tokens",
  dtype: "f32",
  measure: async ({ isa }) => {
    const idle = await timersLateMs(() => pause(1000));
    using dev = await device("cpu", { isa });
    const model = createModel(config, { device: dev, seed: 1 });
    const document = (d: number) => Array.from({ length: 256 }, (_, i) => (i * 2654435 + d * 977) % 4096);
    const data = [packBatch(Array.from({ length: 8 }, (_, d) => document(d)))];
    const train = async (steps: number): Promise<number> => {
      let last = 0;
      for await (const { step } of pretrain({ model, data, optimizer: adamw({ lr: 1e-3 }), steps }))
        last = step;
      return last;
    };
    await train(2); // compiled code, memory
    const value = await timersLateMs(() => train(15));
    return { value, note: `${idle.toFixed(2)} ms when nothing runs` };
  },
};

export const callCases: readonly MeasuredCase[] = [emptyCall, delay];
