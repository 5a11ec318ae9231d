import path from "node:path";
import { pipeline } from "../../lib/data/pipeline.ts";
import * as read from "../../lib/data/readers/index.ts";
import { module } from "../../lib/data/steps/module.ts";
import * as write from "../../lib/data/writers/index.ts";
import { tinyModel } from "./cli.ts";
import { judgeFile } from "./judge_step.ts";

/** A pipeline in a process of its own, to be killed: folder, workers, options of the judge as JSON. */
const [dir = "", workers = "1", judge = "{}"] = process.argv.slice(2);
const at = (name: string): string => path.join(dir, name);
process.stdout.write("running\n");
try {
  const report = await pipeline([
    read.jsonl(path.join(dir, "../in/*.jsonl")),
    module(judgeFile, JSON.parse(judge) as Record<string, unknown>),
    write.jsonl(at("kept"), { splitBy: "language", rejected: at("rejected"), maxBytesPerFile: 20_000 }),
    write.tokens(at("tokens"), { tokenizer: tinyModel("llama") }),
  ]).run({ workers: Number(workers), state: at("state") });
  const { read: all, kept, dropped, counts, tasks } = report;
  process.stdout.write(`${JSON.stringify({ read: all, kept, dropped, counts, tasks })}\n`);
} catch (error) {
  process.stdout.write(`${JSON.stringify({ message: (error as Error).message })}\n`);
}
