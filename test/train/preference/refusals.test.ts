import { describe, expect, test } from "vitest";
import { device } from "../../../lib/core/device.ts";
import { ConfigError } from "../../../lib/core/errors.ts";
import * as losses from "../../../lib/train/preference/index.ts";

const cpu = await device("cpu", { threads: 1 });
const list = (values: readonly number[]) => cpu.tensor(Float32Array.from(values), [values.length]);
const byName: Readonly<Record<string, unknown>> = { ...losses };

describe("a name that a loss doesn't know is refused", () => {
  const P = [-1, -2];
  const pair = { chosen: P, rejected: P, refChosen: P, refRejected: P, nll: [1] };
  const rows = { policy: P, reference: P, kl: [0.5] };
  const tensors = (of: Record<string, number[]>) =>
    Object.fromEntries(Object.entries(of).map(([name, values]) => [name, list(values)]));
  const onRows: Record<string, (settings: object) => unknown> = {
    kto: (settings) => losses.kto({ ...tensors(rows), labels: [1, 0], ...settings } as never),
    apoZeroUnpaired: (settings) =>
      losses.apoZeroUnpaired({ policy: list(P), reference: list(P), labels: [1, 0], ...settings }),
    ktoKl: (settings) => losses.ktoKl({ policy: list(P), reference: list(P), ...settings }),
    bradleyTerry: (settings) => losses.bradleyTerry({ chosen: list(P), rejected: list(P), ...settings }),
  };
  const call = (name: string, settings: object): unknown =>
    onRows[name]?.(settings) ??
    (byName[name] as (inputs: object) => unknown)({ ...tensors(pair), ...settings });

  test.each(Object.keys(losses))("%s", (name) => {
    expect(() => call(name, {})).not.toThrow();
    const near = { ktoKl: "referenc", bradleyTerry: "margn" }[name] ?? "bta";
    const meant = { ktoKl: "reference", bradleyTerry: "margin" }[name] ?? "beta";
    expect(() => call(name, { [near]: 1 })).toThrow(
      `${name}: unknown option "${near}", is it ${meant}? Known are `,
    );
    expect(() => call(name, { xylophone: 1 })).toThrow(ConfigError);
  });

  test("a setting of another loss is one, and what is measured of pairs isn't", () => {
    expect(() => call("hinge", { labelSmoothing: 0.1 })).toThrow('hinge: unknown option "labelSmoothing"');
    expect(() => call("dpo", { gamma: 1 })).toThrow('dpo: unknown option "gamma"');
    expect(() => call("dpo", { chosenTokens: [3, 4], rejectedTokens: [5, 2] })).not.toThrow();
  });
});
