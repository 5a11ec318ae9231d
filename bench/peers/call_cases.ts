import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { device } from "../../lib/core/device.ts";
import { run } from "../../lib/core/run.ts";
import { adamw } from "../../lib/optim/adamw.ts";
import { pretrain } from "../../lib/train/pretrain.ts";
import { batchOf, modelOf, subjects } from "../training_step.ts";
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

/** A timer's lateness, beside a training run in the same process. */
const delay: MeasuredCase = {
  figure: "C14.delay_ms",
  title: `pretrain, ${subjects.small.title}`,
  dtype: "f32",
  measure: async ({ isa }) => {
    const idle = await timersLateMs(() => pause(1000));
    using dev = await device("cpu", { isa });
    const model = modelOf(subjects.small, dev, "f32");
    const data = [batchOf(subjects.small)];
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
