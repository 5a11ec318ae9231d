import type { CommandGroup } from "./options.ts";

/** What can be done with text before training. A new one is a line here. */
const group: CommandGroup = {
  commands: {
    run: ["run a pipeline of a YAML file; a rerun goes on where it ended", () => import("./data_run.ts")],
    fineweb: ["a crawl to training text, as FineWeb was made", () => import("./data_fineweb.ts")],
    dedup: ["drop near-duplicates of JSONL files by MinHash", () => import("./data_dedup.ts")],
    tokenizer: ["learn a byte-level BPE tokenizer from text", () => import("./data_tokenizer.ts")],
    ablate: [
      "compare variants of a pipeline by models trained on their texts",
      () => import("./data_ablate.ts"),
    ],
  },
};

export default group;
