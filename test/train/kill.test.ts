import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Random } from "../../lib/core/random.ts";
import { checkpointSteps } from "../../lib/train/checkpoint.ts";

const child = path.resolve(import.meta.dirname, "../support/train_child.ts");
const steps = 900;
let root: string;
beforeAll(async () => {
  root = await mkdtemp(path.join(tmpdir(), "mixwright-kill-"));
});
afterAll(() => rm(root, { recursive: true }));

function start(dir: string, kind: string): ChildProcess {
  return spawn(process.execPath, ["--import", "tsx", child, dir, String(steps), kind], {
    stdio: ["ignore", "pipe", "inherit"],
  });
}

interface Kill {
  afterMs: number;
  /** Counted from the start of the process or, where the first step is reported, from there. */
  from: "start" | "first step";
}

/** Runs until it ends, or is killed. Resolves to the hash it printed, if it did, and to when its first step was through. */
function runUntil(process: ChildProcess, kill?: Kill): Promise<{ hash?: string; firstStepMs: number }> {
  return new Promise((resolve, reject) => {
    let output = "";
    const begun = performance.now();
    let firstStepMs = 0;
    let timer: NodeJS.Timeout | undefined;
    const arm = (from: Kill["from"]) => {
      if (kill?.from === from) timer ??= setTimeout(() => process.kill("SIGKILL"), kill.afterMs);
    };
    arm("start");
    process.stdout!.on("data", (chunk: Buffer) => {
      output += chunk;
      if (!output.includes("running")) return;
      firstStepMs ||= performance.now() - begun;
      arm("first step");
    });
    process.on("close", (code, signal) => {
      clearTimeout(timer);
      if (signal === "SIGKILL" || code === 0)
        resolve({ hash: /finished (\w+)/.exec(output)?.[1], firstStepMs });
      else reject(new Error(`the run ended with ${code ?? signal}: ${output}`));
    });
  });
}

test.each([
  { kind: "plain", wanted: 20 },
  { kind: "continual", wanted: 8 }, // mixed, in phases
])(
  "$kind: killed at $wanted random moments, a resumed run ends with the bits of one that was not",
  {
    timeout: 300_000,
  },
  async ({ kind, wanted }) => {
    const { hash: whole, firstStepMs } = await runUntil(start(path.join(root, `${kind}-whole`), kind));
    expect(whole).toBeDefined();
    const dir = path.join(root, `${kind}-killed`);
    const seed = Date.now();
    const random = new Random(seed);
    let kills = 0;
    let hash: string | undefined;
    while (kills < wanted) {
      // Every third while it loads, as a rule.
      const kill: Kill =
        kills % 3 === 0
          ? { from: "start", afterMs: random.uniform() * firstStepMs }
          : { from: "first step", afterMs: random.uniform() * (1200 / wanted) };
      ({ hash } = await runUntil(start(dir, kind), kill));
      if (hash === undefined) kills++;
      else break; // too fast to be killed so often
    }
    expect(kills, `kills before the run was through, seed ${seed}`).toBe(wanted);
    const reached = (await checkpointSteps(dir)).at(-1) ?? 0;
    expect(reached, `progress made between kills, seed ${seed}`).toBeGreaterThan(0);
    ({ hash } = await runUntil(start(dir, kind)));
    expect(hash, `seed ${seed}`).toBe(whole);
  },
);
