import { z } from "zod";
import {
  type Device,
  device,
  exampleModelDir,
  loadAdapter,
  loadModel,
  loadTokenizer,
  type Model,
  type Tokenizer,
} from "../index.ts";
import { filePath } from "./options.ts";

export const threadsOption = {
  threads: z.int().min(1).optional().describe("processor threads; default: all this process may use"),
};

export const dtypeOption = {
  dtype: z.enum(["f32", "bf16"]).default("f32").describe("number format of the weights in memory"),
};

export const openDevice = (threads: number | undefined): Promise<Device> =>
  device("auto", threads === undefined ? {} : { threads });

/** What commands take that run a trained model. */
export const modelOptions = {
  model: filePath().optional().describe("model folder; default: the small one of this package"),
  adapter: filePath().optional().describe("adapter folder, to run the model with"),
  ...dtypeOption,
  ...threadsOption,
};
type ModelOptions = z.output<z.ZodObject<typeof modelOptions>>;

/** Runs `work` with a trained model, and gives all memory back. */
export async function withModel(
  { model: dir = exampleModelDir, adapter, dtype, threads }: ModelOptions,
  work: (opened: { model: Model; tokenizer: Tokenizer }) => Promise<void>,
): Promise<void> {
  const tokenizer = await loadTokenizer(dir);
  using device = await openDevice(threads);
  const model = await loadModel(dir, { device, dtype });
  if (adapter !== undefined) await loadAdapter(model, adapter);
  await work({ model, tokenizer });
}
