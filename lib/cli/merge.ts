import { z } from "zod";
import { loadAdapter, loadModel, mergeAdapter, saveModel } from "../index.ts";
import { requireFreshFolder } from "../io/fresh_folder.ts";
import { openDevice, threadsOption } from "./device.ts";
import { command, filePath, jsonOption } from "./options.ts";
import { printJson, printTable } from "./output.ts";

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
    await mergeAdapter(adapter);
    await saveModel(model, out);
    const { layers } = adapter;
    if (json) printJson({ model: out, layers: layers.length });
    else printTable([["merged", `${layers.length} layers of ${adapterDir} into ${out}`]]);
  },
});
