/** What run.sh of the bundle starts: see there. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, statfsSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { Report } from "./report.ts";
import { runSanitized, runTests } from "./test_files.ts";

const { wayOut } = await import("../../lib/core/cuda_probe.ts");
const { chooseEngine, cudaDevices, tryCuda } = await import("../../lib/core/native.ts");
const { comparePeers } = await import("../../bench/gpu/peers.ts");
const { subjects } = await import("../../bench/training_step.ts");
const { real, tiny } = await import("../../bench/gpu/shapes.ts");
const { timeOps } = await import("./timings.ts");
const { quickstart, trainBoth, writeBoth } = await import("./train.ts");

/** The sections, and how many seconds each may take. */
const limits = { ops: 300, models: 120, train: 120, peers: 350 };
type Section = keyof typeof limits;
const sections = Object.keys(limits) as Section[];

/** Ends with what was wrong about the call. */
function refuse(what: string): never {
  console.error(
    `run.sh: ${what}\nusage: sh run.sh [--only ${sections.join()}] [--out DIR] [--limit SECONDS] [--sanitize] [--small]`,
  );
  process.exit(1);
}

function readOptions() {
  try {
    return parseArgs({
      options: {
        only: { type: "string", default: sections.join() },
        out: { type: "string" },
        limit: { type: "string" },
        sanitize: { type: "boolean", default: false },
        small: { type: "boolean", default: false },
      },
    }).values;
  } catch (error) {
    return refuse((error as Error).message);
  }
}

const values = readOptions();
if (values.limit !== undefined && !(Number(values.limit) > 0))
  refuse(`--limit is ${values.limit}, seconds above 0 were needed`);
const chosen = values.only.split(",") as Section[];
const unknown = chosen.find((name) => !sections.includes(name));
if (unknown !== undefined) refuse(`--only ${unknown}, known are ${sections.join(", ")}`);
const limitOf = (section: Section): number => 1000 * Number(values.limit ?? limits[section]);

const report = new Report(values.out);
const { print } = report;
print("# mixwright on CUDA", "");
const endWithout = (reason: string): never => {
  print(`There is no device: ${reason}. ${wayOut(reason)}.`);
  process.exit(2);
};
if (!process.env.MIXWRIGHT_ENGINE) {
  // A driver that crashes or hangs does so in a process of its own, once.
  const { whyNoCuda } = await tryCuda(chooseEngine(undefined));
  if (whyNoCuda !== "") endWithout(whyNoCuda);
  process.env.MIXWRIGHT_ENGINE = "cuda";
}
const { devices, reason } = cudaDevices();
if (devices.length === 0) endWithout(reason);
const asked = ["driver_version", "clocks.max.sm", "clocks.max.memory", "power.limit"];
const smi = spawnSync("nvidia-smi", [`--query-gpu=${asked.join(",")}`, "--format=csv,noheader"], {
  encoding: "utf8",
});
report.table(
  ["device", "capability", "multiprocessors", "memory", asked.join(", ")],
  ...devices.map(({ name, capability, multiprocessors, bytes }, i) => [
    `cuda:${i} ${name}`,
    capability,
    multiprocessors,
    `${(bytes / 2 ** 30).toFixed(1)} GiB`,
    smi.stdout?.split("\n")[i] || "unknown",
  ]),
);
const cpus = os.cpus();
print(`${cpus[0]?.model}, ${cpus.length} processors, Node ${process.version}, ${new Date().toISOString()}`);
report.keep({ devices, smi: smi.stdout, date: new Date() });

// A loss that nobody waits for yet may be the first to tell of a failure; whoever waits for the device is told as well.
process.on("unhandledRejection", () => {
  report.failed = true;
});
const tests = readdirSync(path.resolve(import.meta.dirname, "../../test"), {
  recursive: true,
  encoding: "utf8",
})
  .filter((file) => file.endsWith(".test.js"))
  .sort();
const opTests = tests.filter((file) => file.startsWith("ops/"));

/** A folder that goes away with this process; of memory, if there is enough: gigabytes go to the peer. */
function scratch(): string {
  let base = os.tmpdir();
  try {
    const { bavail, bsize } = statfsSync("/dev/shm");
    if (bavail * bsize > 2 ** 33) base = "/dev/shm";
  } catch {
    // there is none
  }
  const folder = mkdtempSync(path.join(base, "mixwright-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const run: Record<Section, (deadline: number) => Promise<void>> = {
  ops: async (deadline) => {
    const title = "Ops: against float64 oracles, and against the CPU engine";
    runTests(report, title, opTests, deadline - 0.25 * limitOf("ops"));
    await timeOps(report, deadline);
    if (values.sanitize) runSanitized(report, opTests, 2 * limitOf("ops"));
  },
  models: async (deadline) => {
    const rest = tests.filter((file) => !opTests.includes(file));
    runTests(report, "Whole models, adapters, training: against float64 reference numbers", rest, deadline);
  },
  train: async () => {
    const { small } = values;
    const subject = small ? { title: "tiny", ...tiny.step } : subjects.small;
    for (const dtype of ["f32", "bf16"] as const) {
      await report.section(`Training, ${subject.title}, ${dtype}, on both devices`, () =>
        trainBoth(dtype, subject),
      );
      const words = `The model of the package, ${dtype}, on both devices`;
      await report.section(words, () => writeBoth(dtype, small ? 4 : 40));
    }
    const [name, pretrainSteps, finetuneSteps] = small
      ? (["cpu", 16, 8] as const)
      : (["cuda", 600, 150] as const);
    await report.section(`The quickstart on ${name}`, () =>
      quickstart(name, { pretrainSteps, finetuneSteps }),
    );
  },
  peers: async () => {
    print("", "## Figures G1 to G12, against the peers");
    const rows = await comparePeers({
      shapes: values.small ? tiny : real,
      device: "cuda",
      peerDevice: process.env.MIXWRIGHT_PEERS_DEVICE ?? "cuda",
      interpreter: process.env.MIXWRIGHT_PEERS_PYTHON ?? "python3",
      scratch: scratch(),
      limitMs: limitOf("peers") - 50_000,
      print,
      keep: report.keep,
    });
    if (rows.some(({ failed }) => failed)) report.failed = true;
  },
};

for (const section of chosen) {
  const from = performance.now();
  const limitMs = limitOf(section) * (section === "ops" && values.sanitize ? 3 : 1);
  const watch = setTimeout(() => {
    print(
      "",
      `**${section}: stopped, its ${(limitMs / 1e3).toFixed(0)} s are up.** What was measured stands above.`,
    );
    process.exit(1);
  }, limitMs + 10_000);
  await run[section](from + limitOf(section)).catch((error: Error) => {
    report.failed = true;
    print("", `FAILED: ${error.stack}`);
  });
  clearTimeout(watch);
  print(
    "",
    `${section}: ${((performance.now() - from) / 1e3).toFixed(0)} s of at most ${(limitMs / 1e3).toFixed(0)}.`,
  );
}
print("", report.failed ? "**Something failed.**" : "All well.");
process.exit(report.failed ? 1 : 0);
