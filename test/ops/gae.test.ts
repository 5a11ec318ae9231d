import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { ConfigError, ShapeError } from "../../lib/core/errors.ts";
import { disposeAll, valueAndGrad } from "../../lib/core/tape.ts";
import { add } from "../../lib/ops/add.ts";
import { multiply } from "../../lib/ops/binary.ts";
import { gae, spec } from "../../lib/ops/gae.ts";
import { sum } from "../../lib/ops/segment_sum.ts";
import { checkOp, normal, type OpCase, opened, relativeError, ways } from "../support/check_op.ts";
import { sharedPath } from "../support/shared_data.ts";

const [gamma, lambda] = [0.9, 0.8];

const segments = (title: string, offsets: number[]): OpCase => ({
  title,
  floats: (random) => ({
    rewards: normal([offsets.at(-1)!], random),
    values: normal([offsets.at(-1)!], random),
    lastValues: normal([offsets.length - 1], random),
  }),
  ints: () => ({ offsets: { shape: [offsets.length], data: Int32Array.from(offsets) } }),
});

const cases = [
  segments("one element", [0, 1]),
  segments("31 and 33, one empty between", [0, 31, 31, 64]),
  segments("empty ones at both ends", [0, 0, 5000, 5000]),
  segments(
    "more segments than a task takes",
    Array.from({ length: 41 }, (_, d) => 3 * d),
  ),
  segments("no elements", [0, 0, 0]),
  segments("no segments", [0]),
];

/** The sum over all that follows, (γλ)^k δ: no recursion. */
function oracle(
  { rewards, values, lastValues }: Record<string, Float64Array>,
  offsets: Int32Array,
): Float64Array[] {
  const advantages = new Float64Array(rewards!.length);
  for (let d = 0; d + 1 < offsets.length; d++) {
    const [begin, end] = [offsets[d]!, offsets[d + 1]!];
    const delta = (t: number) => {
      const next = t + 1 < end ? values![t + 1]! : (lastValues?.[d] ?? 0);
      return rewards![t]! + gamma * next - values![t]!;
    };
    for (let t = begin; t < end; t++)
      for (let k = 0; t + k < end && k < 200; k++) advantages[t]! += (gamma * lambda) ** k * delta(t + k);
  }
  return [advantages, advantages.map((a, t) => a + values![t]!)];
}

checkOp({
  spec,
  cases,
  gradientOf: [],
  call: ({ rewards, values, offsets, lastValues }) => {
    const found = gae({
      rewards: rewards!,
      values: values!,
      offsets: offsets!,
      gamma,
      lambda,
      lastValues: lastValues!,
    });
    return [found.advantages, found.returns];
  },
  oracle: (v, _, { offsets }) => oracle(v, offsets!),
});

checkOp({
  spec,
  cases: cases.map((c) => ({
    ...c,
    title: `${c.title}, over at the end`,
    floats: (random) => {
      const { rewards, values } = c.floats(random) as Record<string, ReturnType<typeof normal>>;
      return { rewards: rewards!, values: values! };
    },
  })),
  gradientOf: [],
  call: ({ rewards, values, offsets }) => {
    const found = gae({ rewards: rewards!, values: values!, offsets: offsets!, gamma, lambda });
    return [found.advantages, found.returns];
  },
  oracle: (v, _, { offsets }) => oracle(v, offsets!),
});

/** Rows of numbers, laid end to end; `lengths` cuts what pads them. */
async function expectGae(
  given: { rewards: number[][]; values: number[][]; lastValues?: number[]; lengths?: number[] },
  [gamma, lambda]: readonly [number, number],
  want: { advantages: number[][]; returns?: number[][] },
): Promise<void> {
  const lengths = given.lengths ?? given.rewards.map((row) => row.length);
  const packed = (rows: number[][]) => rows.flatMap((row, d) => row.slice(0, lengths[d]));
  const offsets = Int32Array.from([0, ...lengths]);
  for (let d = 0; d < lengths.length; d++) offsets[d + 1]! += offsets[d]!;
  for (const title of ways) {
    const dev = await opened(title);
    const vector = (rows: number[][]) => dev.tensor(packed(rows), [offsets.at(-1)!]);
    const [rewards, values] = [vector(given.rewards), vector(given.values)];
    const lastValues = given.lastValues && dev.tensor(given.lastValues, [lengths.length]);
    const got = gae({ rewards, values, offsets, gamma, lambda, ...(lastValues && { lastValues }) });
    const { advantages, returns } = {
      advantages: await got.advantages.data(),
      returns: await got.returns.data(),
    };
    expect(relativeError(advantages, packed(want.advantages))).toBeLessThan(1e-6);
    if (want.returns) expect(relativeError(returns, packed(want.returns))).toBeLessThan(1e-6);
    disposeAll(rewards, values, lastValues, got);
  }
}

describe("gae by hand: rewards 0, 0, 1, values .5, .6, .7", () => {
  const given = { rewards: [[0, 0, 1]], values: [[0.5, 0.6, 0.7]] };
  test.each<[number, number, number[]]>([
    [1, 1, [0.5, 0.4, 0.3]],
    [1, 0.95, [0.46575, 0.385, 0.3]],
    [0.99, 0.95, [0.446829, 0.37515, 0.3]],
  ])("γ %d, λ %d", async (gamma, lambda, advantages) => {
    const returns = [advantages.map((a, t) => a + given.values[0]![t]!)];
    await expectGae(given, [gamma, lambda], { advantages: [advantages], returns });
  });
});

test("gae: λ = 0 gives one-step errors, λ = 1 the discounted rewards minus the value", async () => {
  const [r, v] = [
    [1, -2, 0.5, 3],
    [0.25, -1, 2, 0.5],
  ] as [number[], number[]];
  const gamma = 0.9;
  const delta = r.map((reward, t) => reward + gamma * (v[t + 1] ?? 0) - v[t]!);
  await expectGae({ rewards: [r], values: [v] }, [gamma, 0], { advantages: [delta] });
  const rest = r.map((_, t) => r.slice(t).reduce((total, reward, k) => total + gamma ** k * reward, 0));
  await expectGae({ rewards: [r], values: [v] }, [gamma, 1], {
    advantages: [rest.map((total, t) => total - v[t]!)],
    returns: [rest],
  });
});

// shared/oracles/public/common/rl.json, made with float64 programs of its own.
interface Reference {
  inputs: { lengths: number[]; values_old: number[][] };
  cases: {
    gamma: number;
    lambda: number;
    whiten_rewards: boolean;
    rewards: number[][];
    advantages: number[][];
    returns: number[][];
  }[];
  gae_bootstrap: {
    rewards: number[][];
    values: number[][];
    value_after_last: number[];
    cases: { gamma: number; lambda: number; advantages: number[][]; returns: number[][] }[];
  };
}
const file = sharedPath("oracles/public/common/rl.json");
test.skipIf(!file)("gae gives the reference numbers, padded texts and cut ones", async () => {
  const { inputs, cases, gae_bootstrap: cut } = JSON.parse(readFileSync(file!, "utf8")) as Reference;
  const { lengths, values_old: values } = inputs;
  expect(cases.length).toBeGreaterThan(0);
  for (const c of cases) {
    if (c.whiten_rewards) continue;
    await expectGae({ rewards: c.rewards, values, lengths }, [c.gamma, c.lambda], c);
  }
  for (const c of cut.cases) {
    const given = { rewards: cut.rewards, values: cut.values, lastValues: cut.value_after_last };
    await expectGae(given, [c.gamma, c.lambda], c);
  }
});

test("gae: advantages are constants to the gradient", async () => {
  const dev = await opened();
  const [rewards, values] = [dev.full([3], 1), dev.full([3], 0.5)];
  const pass = valueAndGrad({ rewards, values }, () => {
    const { advantages } = gae({ rewards, values, offsets: Int32Array.of(0, 3), gamma: 1, lambda: 1 });
    return sum(add(multiply(advantages, values), rewards));
  });
  expect([...(await pass.grads.values.data())]).toEqual([2.5, 1.5, 0.5]);
  expect([...(await pass.grads.rewards.data())]).toEqual([1, 1, 1]);
  disposeAll(rewards, values, pass);
});

test("gae: what doesn't fit is refused, offsets that don't cover T poison the stream", async () => {
  const dev = await opened();
  const [rewards, values] = [dev.full([3]), dev.full([3])];
  const options = { rewards, values, offsets: Int32Array.of(0, 3), gamma: 1, lambda: 1 };
  expect(() => gae({ ...options, gamma: 1.01 })).toThrow("gae: gamma is 1.01, 0 to 1 was needed");
  expect(() => gae({ ...options, lambda: Number.NaN })).toThrow(ConfigError);
  expect(() => gae({ ...options, offsets: new Int32Array(0) })).toThrow(ShapeError);
  expect(() => gae({ ...options, lastValues: rewards })).toThrow(ShapeError);
  for (const [bad, said] of [
    [[0, 2], "offsets end at 2, there are 3 rows"],
    [[-1, 3], "offsets begin at -1, needed 0"],
    [[0, 5, 3], "offsets fall from 5 to 3 at entry 2"],
  ] as const) {
    const got = gae({ ...options, offsets: Int32Array.from(bad) });
    await expect(got.advantages.data()).rejects.toThrow(said);
    dev.reset();
    disposeAll(got);
  }
  disposeAll(rewards, values);
});
