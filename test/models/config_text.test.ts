import { readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { device } from "../../lib/core/device.ts";
import { saveModel } from "../../lib/models/save.ts";
import { tempDir } from "../support/temp_dir.ts";
import { tinyModel } from "../support/tiny_model.ts";

test("fields that transformers types as floats are written as floats", async () => {
  using dev = await device("cpu", { threads: 1 });
  using model = tinyModel("mixtral", { device: dev }, { router_aux_loss_coef: 0, initializer_range: 1 });
  const dir = tempDir();
  await saveModel(model, dir);
  const text = readFileSync(path.join(dir, "config.json"), "utf8");
  for (const line of [
    '"router_jitter_noise": 0.0,',
    '"router_aux_loss_coef": 0.0,',
    '"initializer_range": 1.0,',
  ])
    expect(text).toContain(line);
  expect(text).toContain('"vocab_size": 40,');
  expect(JSON.parse(text).rms_norm_eps).toBe(1e-5);
});
