// A training run to be killed: node --import tsx train_child.ts DIR STEPS. Resumes whatever DIR holds; prints a line when
// training begins, and at the end the hash of all parameters.
import { createHash } from "node:crypto";
import { device } from "../../lib/core/device.ts";
import { pretrain } from "../../lib/train/pretrain.ts";
import { tinyData, tinyMoe, tinyOptimizer } from "./tiny_run.ts";

const [, , dir, steps] = process.argv;
const dev = await device("cpu", { threads: 2 });
const model = tinyMoe(dev);
let first = true;
const options = {
  model,
  data: tinyData(),
  optimizer: tinyOptimizer(),
  steps: Number(steps),
  auxLossCoef: 0.01,
};
for await (const m of pretrain({ ...options, checkpoint: { dir: dir!, every: 3, resume: true } })) {
  if (first) console.log(`running from ${m.step}`);
  first = false;
}
const hash = createHash("sha256");
for (const name of Object.keys(model.params).sort()) hash.update(await model.params[name]!.bytesData());
console.log(`finished ${hash.digest("hex")}`);
dev.close();
