import { readdirSync } from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";
import { describeModel, headersOf } from "../../lib/models/describe.ts";

const fixtures = path.resolve(import.meta.dirname, "../golden/hf-tiny");
const sizeOf = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

it.each(readdirSync(fixtures).filter((name) => !name.includes(".")))(
  "the parameters of %s are those in its files",
  async (family) => {
    const dir = path.join(fixtures, family);
    const { parameters, experts } = await describeModel(dir);
    const tensors = await headersOf(dir);
    expect(parameters.total).toBe(tensors.reduce((sum, { shape }) => sum + sizeOf(shape), 0));
    if (experts === undefined) expect(parameters.active).toBe(parameters.total);
    else expect(parameters.active).toBeLessThan(parameters.total);
  },
);
