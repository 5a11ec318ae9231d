import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { mixwright, objectsIn, tinyModel, works } from "../support/cli.ts";
import { tempDir } from "../support/temp_dir.ts";
import { writeTexts } from "../support/texts.ts";

const model = tinyModel("llama");

function newFolder() {
  const dir = tempDir();
  const at = (name: string) => path.join(dir, name);
  const [old, fresh] = [writeTexts(at("old.jsonl")), writeTexts(at("new.jsonl"), 9)];
  const args = (out: string, ...more: string[]) => [
    ...["pretrain", "--model", model, "--out", at(out), "--threads", "2", "--batch-tokens", "100", "--json"],
    ...more,
  ];
  return { at, old, fresh, args };
}

const metricsOf = (out: string) => objectsIn(readFileSync(path.join(out, "metrics.jsonl"), "utf8"));
const weightsOf = (out: string) => readFileSync(path.join(out, "model.safetensors"));

describe("pretrain on several sources", () => {
  it("mixes files by weight and measures sets by name", async () => {
    const { at, old, fresh, args } = newFolder();
    const mixed = ["--data", old, `later=${fresh}`, "--weights", "0.05", "0.95", "--steps", "6"];
    const sets = ["--validation", old, `other=${fresh}`, "--validate-every", "3"];
    const lines = objectsIn(await works(args("out", ...mixed, ...sets)));
    expect(lines.map((m) => [m["tokens/old"], m["tokens/later"]])).toEqual(
      [1, 2, 3, 4, 5, 6].map((step) => [5 * step, 95 * step]),
    );
    expect(lines[0]).toMatchObject({ "loss/old": expect.any(Number), "loss/later": expect.any(Number) });
    expect(lines[2]).toMatchObject({
      validation: { old: expect.any(Number), other: expect.any(Number) },
      "forgetting/old": expect.any(Number),
      "forgetting/other": expect.any(Number),
    });
    const html = readFileSync(path.join(at("out"), "report.html"), "utf8");
    for (const title of ["Loss by source", "Tokens by source", "Forgetting"]) expect(html).toContain(title);
  });

  it("runs phases of a config file, killed and resumed to the same bits", async () => {
    const { at, old, fresh, args } = newFolder();
    const config = at("run.yaml");
    writeFileSync(
      config,
      `phases:
  - { name: first, data: ${old}, steps: 30 }
  - { name: second, data: [${old}, ${fresh}], weights: [0.317, 0.683], steps: 40, optimizer: reset }
schedule: rewarm
lr: 0.001
checkpoint-every: 4
validation: [${old}, ${fresh}]
validate-every: 7
`,
    );
    await works(args("whole", "--config", config));
    const killed = await mixwright(args("parts", "--config", config), {
      onLine: (line, child) => {
        if (line.startsWith('{"step":41,')) child.kill("SIGKILL");
      },
    });
    expect(killed.signal).toBe("SIGKILL");
    await works(["pretrain", "--resume", "--out", at("parts")]);
    expect(weightsOf(at("parts")).equals(weightsOf(at("whole")))).toBe(true);
    const untimed = (out: string) => metricsOf(at(out)).map(({ tokensPerSecond, ...m }) => m);
    expect(untimed("parts")).toEqual(untimed("whole"));
    const lines = untimed("whole");
    expect(lines.map(({ phase }) => phase)).toEqual([
      ...new Array(30).fill("first"),
      ...new Array(40).fill("second"),
    ]);
    expect(lines[31]!.lr).toBeGreaterThan(lines[29]!.lr as number);
    expect(readFileSync(path.join(at("whole"), "report.html"), "utf8")).toContain("second begins at step 31");
  });

  it("forks annealed runs from any checkpoint of another", async () => {
    const { at, old, args } = newFolder();
    const data = ["--data", old, "--schedule", "constant", "--warmup-steps", "0"];
    await works(args("trunk", ...data, "--steps", "6", "--checkpoint-every", "2", "--keep-checkpoints", "9"));
    expect(readdirSync(path.join(at("trunk"), "checkpoints")).length).toBe(3);
    const fork = ["--from", at("trunk"), "--steps", "6"];
    await works(args("same", ...data, ...fork, "--from-step", "4"));
    expect(weightsOf(at("same")).equals(weightsOf(at("trunk")))).toBe(true);
    const anneal = ["--data", old, "--schedule", "linear", "--warmup-steps", "0", "--min-lr", "0"];
    const from = ["--from", at("trunk"), "--from-step", "2", "--steps", "6"];
    const lines = objectsIn(await works(args("annealed", ...anneal, ...from)));
    expect(lines.map(({ step }) => step)).toEqual([3, 4, 5, 6]);
    expect(lines.map(({ lr }) => Number((lr as number).toPrecision(6)))).toEqual([
      3e-4, 2.25e-4, 1.5e-4, 7.5e-5,
    ]);
    await works(["pretrain", "--resume", "--out", at("annealed")]);
    expect(existsSync(path.join(at("annealed"), "model.safetensors"))).toBe(true);
    const none = await mixwright(args("none", ...anneal, ...fork, "--from-step", "3"));
    expect(none.stderr).toMatch(/holds no checkpoint of step 3; there are 2, 4, 6/);
  });

  it("refuses by name what doesn't fit together", async () => {
    const { at, old, fresh, args } = newFolder();
    const refused = async (more: readonly string[], yaml?: string) => {
      if (yaml !== undefined) writeFileSync(at("bad.yaml"), yaml);
      const config = yaml === undefined ? [] : ["--config", at("bad.yaml")];
      const { code, stderr } = await mixwright(args("out", ...more, ...config));
      expect(code, stderr).not.toBe(0);
      return stderr;
    };
    const data = ["--data", old, fresh, "--steps", "1"];
    expect(await refused([...data, "--weights", "1"])).toContain("--weights has 1 numbers for 2 files");
    expect(await refused([...data, "--weights", "1", "x"])).toContain('--weights[1] is "x", a number was');
    expect(await refused([...data, "--weights", "1", "-1"])).toContain("--weights[1] is -1, at least 0 was");
    expect(await refused([...data, "--weights", "0", "0"])).toContain("the weights of 2 sources are all 0");
    expect(await refused(["--data", old, old, "--steps", "1", "--weights", "1", "1"])).toContain(
      "two sources are named old",
    );
    expect(await refused([...data, "--from-step", "1"])).toContain("--from-step is given without --from");
    expect(await refused([])).toContain("--data, --steps needed and not given");
    const phases = (phase: string) => `phases: [${phase}]\n`;
    const good = `{ data: ${old}, steps: 2 }`;
    expect(await refused(["--data", old], phases(good))).toContain("data is given beside phases");
    expect(await refused(["--steps", "3"], phases(good))).toContain(
      "--steps is 3, the phases have 2 together",
    );
    expect(await refused([], phases(`{ data: ${old}, step: 2 }`))).toContain("phases[0]");
    expect(await refused([], phases(`{ data: ${old}, steps: 2, optimizer: rest }`))).toContain(
      'phases[0].optimizer is "rest", one of keep, reset was needed',
    );
  });
});
