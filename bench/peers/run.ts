/**
 * npm run bench:peers [-- filter …] [--json] [--isa avx2]
 *
 * The same work here and in other programs, in turns, in one process tree: PyTorch, transformers and peft, if
 * MIXWRIGHT_PEERS_PYTHON names a Python interpreter that has them; OpenBLAS, BLIS and oneDNN, if their Debian packages
 * (libopenblas-openmp-dev, libblis-openmp-dev, libdnnl-dev) and g++ are installed. A filter is a figure ("C4",
 * "C4.E8-T2048") or a part of a case's title. --json prints one line a figure and keeps the rest for stderr; --isa holds both
 * sides to an instruction set. A table of everything (no filter, no --json) goes into bench/LEDGER.md, too.
 */
import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { device } from "../../lib/core/device.ts";
import { adapterCases } from "./adapter_cases.ts";
import { startBlas } from "./blas.ts";
import { callCases } from "./call_cases.ts";
import { type Result, runCase } from "./duel.ts";
import { type Figure, figures } from "./figures.ts";
import { headCases } from "./head.ts";
import { moeCases } from "./moe_cases.ts";
import { opCases } from "./op_cases.ts";
import { environmentOf, type Peer } from "./peer.ts";
import type { PeerCase } from "./peer_case.ts";
import { productCases } from "./product_cases.ts";
import { Python } from "./python.ts";
import { stepCases } from "./step_cases.ts";
import { enterInLedger, figureLine, figureTable, ratioTable } from "./table.ts";
import { threadCases } from "./thread_cases.ts";

const { values: options, positionals: filters } = parseArgs({
  allowPositionals: true,
  options: { json: { type: "boolean", default: false }, isa: { type: "string", default: "" } },
});

async function machine(peers: readonly Peer[]): Promise<string> {
  using dev = await device("cpu", { isa: options.isa });
  const { threads, isa } = dev.stats();
  const versions = Object.assign({}, ...(await Promise.all(peers.map((peer) => peer.versions())))) as object;
  const named = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return (
    `${os.cpus()[0]?.model}, ${os.availableParallelism()} processors. Ours: ${threads} threads, ${isa}, ` +
    `Node ${process.version}. Peers: ${named.join(", ") || "none"}` +
    `${options.isa ? `, held to ${options.isa}` : ""}; the faster of 1 and 2 threads.`
  );
}

/** Programs that are installed. The others are named on stderr. */
async function startPeers(): Promise<Peer[]> {
  const environment = environmentOf(options.isa, os.cpus()[0]?.model ?? "");
  const interpreter = process.env.MIXWRIGHT_PEERS_PYTHON;
  if (!interpreter) {
    console.error(
      "bench:peers: PyTorch is skipped. Set MIXWRIGHT_PEERS_PYTHON to a Python with torch, transformers, peft.",
    );
  }
  const blas = await startBlas(environment);
  for (const note of blas.notes) console.error(`bench:peers: ${note}.`);
  return [...(interpreter ? [new Python(interpreter, environment)] : []), ...blas.peers];
}

const chosen = ({ figure, title }: PeerCase): boolean =>
  filters.length === 0 ||
  filters.some((filter) => figure === filter || figure?.startsWith(`${filter}.`) || title.includes(filter));

/** The cases by figure, in the order of figures.ts; those that count for none come last. */
function* byFigure(cases: readonly PeerCase[]): Generator<[Figure | undefined, PeerCase[]]> {
  for (const figure of [...figures, undefined]) {
    const its = cases.filter((one) => one.figure === figure?.id);
    if (its.length > 0) yield [figure, its];
  }
}

async function compare(peers: readonly Peer[], folder: string): Promise<void> {
  const head = await machine(peers);
  const say = options.json ? console.error : console.log;
  say(head);
  const arena = { peers, folder, isa: options.isa };
  const results: Result[] = [];
  const all: readonly PeerCase[] = [
    ...productCases,
    ...opCases,
    ...headCases,
    ...moeCases,
    ...adapterCases,
    ...stepCases(folder),
    ...threadCases,
    ...callCases,
  ];
  for (const [figure, cases] of byFigure(all.filter(chosen))) {
    if (options.json && figure === undefined && filters.length === 0) continue;
    const its: Result[] = [];
    for (const one of cases) {
      its.push(await runCase(one, arena));
      say(ratioTable(its.slice(-1)).split("\n").at(-1));
    }
    if (options.json && figure) console.log(figureLine(figure, its, head));
    results.push(...its);
  }
  if (results.some(({ note }) => note.includes("differs"))) process.exitCode = 1;
  if (options.json) return;
  const tables = [figureTable(results), ratioTable(results)].filter(Boolean).join("\n\n");
  console.log(`\n${tables}`);
  const date = new Date().toISOString().slice(0, 10);
  if (filters.length === 0 && peers.length > 0)
    await enterInLedger(`## ${date}: against the peers, CPU\n\n${head}\n\n${tables}`);
}

const folder = await mkdtemp(path.join(os.tmpdir(), "mixwright-peers-"));
const peers = await startPeers();
try {
  await compare(peers, folder);
} finally {
  for (const peer of peers) await peer.end();
  await rm(folder, { recursive: true });
}
