import os from "node:os";
import type { Device } from "../lib/core/device.ts";
import { type Ceilings, footprints, type Pattern } from "./ceilings.ts";

/** One measured pass. */
export interface Row {
  op: string;
  case: string;
  dtype: string;
  pass: string;
  medianMs: number;
  bestMs: number;
  processors: number;
  gflops: number;
  gigabytesPerSecond: number;
  /** Of a whole training step. */
  tokensPerSecond?: number;
  percent: number;
  bound: string;
}

/** Where results go: a table for people, or one JSON object per line. */
export interface Report {
  machine(device: Device): void;
  ceilings(when: string, ceilings: Ceilings): void;
  row(row: Row): void;
}

const machineOf = (device: Device) => ({
  date: new Date().toISOString().slice(0, 16) + "Z",
  processor: os.cpus()[0]?.model ?? "unknown",
  processors: os.availableParallelism(),
  threads: device.stats().threads,
  isa: device.stats().isa,
  node: process.version,
  load: os.loadavg()[0]!,
});

export const jsonReport: Report = {
  machine: (device) => print({ kind: "machine", ...machineOf(device) }),
  ceilings: (when, ceilings) => print({ kind: "ceilings", when, footprints, ...ceilings }),
  row: (row) => print({ kind: "row", ...row }),
};
const print = (value: object): void => console.log(JSON.stringify(value));

/** Three significant digits, never an exponent. */
const three = (x: number): string =>
  x === 0 ? "" : x >= 100 ? x.toFixed(0) : x.toFixed(Math.min(4, 2 - Math.floor(Math.log10(x))));

const columns: [title: string, width: number, cell: (row: Row) => string][] = [
  ["op", -20, (r) => r.op],
  ["case", -42, (r) => r.case],
  ["dtype", -5, (r) => r.dtype],
  ["pass", -7, (r) => r.pass],
  ["ms", 8, (r) => three(r.medianMs)],
  ["best", 8, (r) => three(r.bestMs)],
  ["cpus", 4, (r) => r.processors.toFixed(1)],
  ["GFLOP/s", 7, (r) => three(r.gflops)],
  ["GB/s", 6, (r) => three(r.gigabytesPerSecond)],
  ["tok/s", 6, (r) => three(r.tokensPerSecond ?? 0)],
  ["% of", 4, (r) => r.percent.toFixed(0)],
  ["bound", -6, (r) => r.bound],
];
const line = (cells: string[]): string =>
  cells
    .map((cell, i) => (columns[i]![1] < 0 ? cell.padEnd(-columns[i]![1]) : cell.padStart(columns[i]![1])))
    .join("  ")
    .trimEnd();

let headed = false;

export const tableReport: Report = {
  machine(device) {
    const m = machineOf(device);
    console.log(
      `${m.date}  ${m.processor}, ${m.processors} processors, ${m.threads} threads, ${m.isa}, Node ${m.node}, ` +
        `load ${m.load.toFixed(1)}`,
    );
  },
  ceilings(when, { fma, fmaOneThread, threads, bandwidth }) {
    console.log(
      `\nCeilings ${when}: FMA ${three(fmaOneThread / 1e9)} GFLOP/s on 1 thread, ${three(fma / 1e9)} on ${threads}.`,
    );
    console.log(`GB/s on ${threads}   ${footprints.map((n) => `${n / 2 ** 20} MiB`.padStart(8)).join("")}`);
    for (const name of Object.keys(bandwidth) as Pattern[])
      console.log(`  ${name.padEnd(11)}${bandwidth[name].map((x) => three(x / 1e9).padStart(8)).join("")}`);
  },
  row(row) {
    if (!headed) console.log("\n" + line(columns.map(([title]) => title)));
    headed = true;
    console.log(line(columns.map(([, , cell]) => cell(row))));
  },
};
