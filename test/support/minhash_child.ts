import { minhash } from "../../lib/data/dedup/minhash.ts";

/** A run of its own process, to be killed: node --import tsx minhash_child.ts INPUT OUTPUT. Small memory, so that it spills. */
const [input, output] = process.argv.slice(2) as [string, string];
console.log("running");
await minhash({ input, output, memoryBytes: 20_000 }).run({ workers: 1 });
console.log("finished");
