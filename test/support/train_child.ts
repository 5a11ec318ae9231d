// A training run to be killed: node --import tsx train_child.ts DIR STEPS [continual]. Resumes whatever DIR holds; prints a
// line when training begins, and at the end the hash of all parameters and counts. "continual": several datasets, mixed and in phases.
import { createHash } from "node:crypto";
import { device } from "../../lib/core/device.ts";
import { type PretrainOptions, pretrain } from "../../lib/train/pretrain.ts";
import { continualRun, kContinualSteps } from "./continual_run.ts";
import { tinyData, tinyMoe, tinyOptimizer } from "./tiny_run.ts";

const [, , dir, steps, kind] = process.argv;
const dev = await device("cpu", { threads: 2 });
const model = tinyMoe(dev);
let first = true;
const options: PretrainOptions =
  kind === "continual"
    ? continualRun(model, Number(steps) / kContinualSteps)
    : { model, data: tinyData(), optimizer: tinyOptimizer(), steps: Number(steps), auxLossCoef: 0.01 };
const counts: Record<string, unknown> = {};
for await (const m of pretrain({ ...options, checkpoint: { dir: dir!, every: 3, resume: true } })) {
  if (first) console.log(`running from ${m.step}`);
  first = false;
  for (const [key, value] of Object.entries(m)) if (key.startsWith("tokens")) counts[key] = value;
}
const hash = createHash("sha256");
for (const name of Object.keys(model.params).sort()) hash.update(await model.params[name]!.bytesData());
delete counts.tokensPerSecond;
hash.update(JSON.stringify(counts));
console.log(`finished ${hash.digest("hex")}`);
dev.close();
