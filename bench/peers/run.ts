/**
 * npm run bench:peers [-- filter …]
 *
 * The same work here and in PyTorch, transformers and peft, in turns, in one process tree. MIXWRIGHT_PEERS_PYTHON names a
 * Python interpreter that has them; without it nothing is compared. Without a filter the table goes into bench/LEDGER.md.
 */
import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { device } from "../../lib/core/device.ts";
import { duel, type Result } from "./duel.ts";
import { opCases } from "./op_cases.ts";
import { Python } from "./python.ts";
import { stepCases } from "./step_cases.ts";
import { enterInLedger, ratioTable } from "./table.ts";

async function machine(versions: Record<string, string>): Promise<string> {
  using dev = await device("cpu");
  const { threads, isa } = dev.stats();
  const peers = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return (
    `${os.cpus()[0]?.model}, ${os.availableParallelism()} processors. Ours: ${threads} threads, ${isa}, ` +
    `Node ${process.version}. Peers: ${peers.join(", ")}; the faster of 1 and 2 threads.`
  );
}

async function compare(interpreter: string, filters: readonly string[]): Promise<void> {
  const folder = await mkdtemp(path.join(os.tmpdir(), "mixwright-peers-"));
  const python = new Python(interpreter);
  try {
    const head = await machine(await python.ask<Record<string, string>>({}));
    console.log(head);
    const cases = [...opCases, ...stepCases(folder)].filter(
      ({ title }) => filters.length === 0 || filters.some((filter) => title.includes(filter)),
    );
    const results: Result[] = [];
    for (const one of cases) {
      results.push(await duel(one, python, folder));
      console.log(ratioTable(results.slice(-1)).split("\n").at(-1));
    }
    const table = ratioTable(results);
    console.log(`\n${table}`);
    const date = new Date().toISOString().slice(0, 10);
    if (filters.length === 0) await enterInLedger(`## ${date}: against PyTorch, CPU\n\n${head}\n\n${table}`);
    if (results.some(({ note }) => note.includes("differs"))) process.exitCode = 1;
  } finally {
    await python.end();
    await rm(folder, { recursive: true });
  }
}

const interpreter = process.env.MIXWRIGHT_PEERS_PYTHON;
if (interpreter) await compare(interpreter, process.argv.slice(2));
else {
  console.log(
    "bench:peers: skipped. Set MIXWRIGHT_PEERS_PYTHON to a Python that has torch, transformers and peft.",
  );
}
