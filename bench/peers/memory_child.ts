/** node --import tsx memory_child.ts step|head ISA: prints how many bytes the subject takes over what stands before it. */
import { device } from "../../lib/core/device.ts";
import { disposeAll } from "../../lib/core/tape.ts";
import { type Head, headOperands } from "../ops/linear_cross_entropy.bench.ts";
import { subjects, trainingStep } from "../training_step.ts";
import { Operands } from "../workload.ts";
import { head, headPass } from "./head.ts";
import { growthOf } from "./memory.ts";

const [subject, isa = ""] = process.argv.slice(2);
using dev = await device("cpu", { isa });

/** Gradients, optimizer state, activations: all but the weights. */
async function step(): Promise<number> {
  const { enqueue } = trainingStep(dev, "f32", subjects.small);
  await dev.ready();
  return growthOf(async () => {
    for (let i = 0; i < 3; i++) await enqueue();
  });
}

/** All but the inputs and their gradients. */
async function extraOfHead(): Promise<number> {
  const o = new Operands(dev, "f32");
  const passes = async (sizes: Head, times: number): Promise<void> => {
    const operands = headOperands(o, sizes);
    const pass = headPass(operands);
    await dev.ready();
    for (let i = 0; i < times; i++) disposeAll(pass());
    await dev.ready();
    disposeAll(operands);
  };
  await passes({ T: 64, D: 64, V: 512 }, 100); // code is compiled, threads have started
  const operands = headOperands(o, head);
  await dev.ready();
  const pass = headPass(operands);
  const gradients = 4 * (operands.x.size + operands.weight.size);
  const grown = await growthOf(async () => {
    for (let i = 0; i < 3; i++) disposeAll(pass());
    await dev.ready();
  });
  return grown - gradients;
}

console.log(subject === "step" ? await step() : await extraOfHead());
