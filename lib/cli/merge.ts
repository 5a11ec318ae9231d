import { existsSync } from "node:fs";
import path from "node:path";
import { z } from "zod";
import { attachRewardHead, loadAdapter, loadModel, mergeAdapter, saveModel } from "../index.ts";
import { requireFreshFolder } from "../io/fresh_folder.ts";
import { openDevice, threadsOption } from "./device.ts";
import { command, filePath, jsonOption } from "./options.ts";
import { printJson, printTable } from "./output.ts";
import { kRewardHead } from "./reward_source.ts";

export default command({
  options: z.strictObject({
    model: filePath().describe("folder of the base model"),
    adapter: filePath().describe("folder of the adapter"),
    out: filePath().describe("folder for the merged model; must not exist, or be empty"),
    ...threadsOption,
    ...jsonOption,
  }),
  run: async ({ model: from, adapter: adapterDir, out, threads, json }) => {
    await requireFreshFolder("merge", out);
    using device = await openDevice(threads);
    const model = await loadModel(from, { device });
    const adapter = await loadAdapter(model, adapterDir);
    // The adapter's own was trained with it; the model's is the one it was trained below.
    const head = [adapterDir, from].map((dir) => path.join(dir, kRewardHead)).find(existsSync);
    using score = head === undefined ? undefined : attachRewardHead(model, { weights: head });
    await mergeAdapter(adapter);
    await saveModel(model, out);
    await score?.save(path.join(out, kRewardHead));
    const { layers } = adapter;
    if (json) printJson({ model: out, layers: layers.length, ...(head && { rewardHead: head }) });
    else {
      const heads = head === undefined ? [] : [["reward head", `of ${head}`] as const];
      printTable([["merged", `${layers.length} layers of ${adapterDir} into ${out}`], ...heads]);
    }
  },
});
