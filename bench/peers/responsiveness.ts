import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { device } from "../../lib/core/device.ts";
import { run } from "../../lib/core/run.ts";
import { createModel } from "../../lib/models/create.ts";
import { adamw } from "../../lib/optim/adamw.ts";
import { packBatch } from "../../lib/text/token_batch.ts";
import { pretrain } from "../../lib/train/pretrain.ts";

/** Microseconds that a kernel with nothing to do takes, to JavaScript and back: called, enqueued, taken from the queue. */
export async function emptyCallMicros(): Promise<number> {
  using dev = await device("cpu");
  const nothing = dev.empty([0]);
  const calls = 10_000; // the queue holds more
  const times: number[] = [];
  for (let round = 0; round < 30; round++) {
    const start = performance.now();
    for (let i = 0; i < calls; i++) run("fill", nothing, 0);
    await dev.ready();
    times.push(((performance.now() - start) * 1e3) / calls);
  }
  return times.sort((a, b) => a - b)[times.length >> 1]!;
}

const resolutionMs = 1;

/** What `during` does to timers: how late they are, 99th percentile, in milliseconds. */
async function timersLateMs(during: () => Promise<void>): Promise<number> {
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

/** The event loop's delay while a small mixture of experts trains, and with nothing to do. */
export async function eventLoopDelays(steps = 12): Promise<{ trainingMs: number; idleMs: number }> {
  const idleMs = await timersLateMs(async () => void (await pause(1000)));
  using dev = await device("cpu");
  const model = createModel(config, { device: dev, seed: 1 });
  const document = (d: number) => Array.from({ length: 256 }, (_, i) => (i * 2654435 + d * 977) % 4096);
  const data = [packBatch(Array.from({ length: 8 }, (_, d) => document(d)))];
  const train = async (steps: number) => {
    for await (const _ of pretrain({ model, data, optimizer: adamw({ lr: 1e-3 }), steps }));
  };
  await train(2); // compiled, memory taken
  const trainingMs = await timersLateMs(() => train(steps));
  model.dispose();
  return { trainingMs, idleMs };
}
