// S prompts, A responses, N draws, P pairs, F hidden: alignment where every probability can be read
import { Random } from "../../../lib/core/random.ts";
import {
  adam,
  type Device,
  disposeAll,
  klEstimate,
  type Optimizer,
  ops,
  ppoPolicyLoss,
  preferenceLoss,
  scope,
  type Tensor,
  valueAndGrad,
  whiten,
} from "../../../lib/index.ts";

/** A response preferred to another at a prompt. */
export interface Preference {
  readonly prompt: number;
  readonly chosen: number;
  readonly rejected: number;
}

/** Numbers of all prompts and responses, [S·A], from parameters that train: logits of a policy, or rewards. */
export interface Table {
  readonly S: number;
  readonly A: number;
  readonly params: Record<string, Tensor>;
  /** What doesn't train; `each`, [A, A], is the identity: a response's logit is that row's product with a prompt's numbers. */
  readonly fixed: Readonly<Record<string, Tensor>> & { readonly each: Tensor };
  /** [S, A] */
  readonly values: () => Tensor;
}

/** Takes the numbers at some prompts and responses, [N]. */
type At = (prompts: readonly number[], responses: readonly number[]) => Tensor;

/** Random numbers of seed's part `part`: what each part draws doesn't depend on how much others drew. */
export const stream = (seed: number, part: number): Random => new Random((seed * 16 + part + 1) * 2 ** 22);

const ints = (device: Device, values: readonly number[]): Tensor =>
  device.tensor(Int32Array.from(values), [values.length]);

const floats = (device: Device, values: ArrayLike<number>, shape?: readonly number[]): Tensor =>
  device.tensor(Float32Array.from(values), shape ?? [values.length]);

const deviceOf = ({ params }: Table): Device => Object.values(params)[0]!.device;

/** One number for each prompt and response. */
export function freeTable(device: Device, values: readonly (readonly number[])[]): Table {
  const [S, A] = [values.length, values[0]!.length];
  const logits = floats(device, values.flat(), [S, A]);
  return { S, A, params: { logits }, fixed: { each: eachOf(device, A) }, values: () => logits };
}

/** A network with one gated hidden layer and random weights, those of its last layer with deviation `last`. */
function network(device: Device, inputs: number, F: number, outputs: number, last: number, seed: number) {
  const random = stream(seed, 0);
  const normal = (rows: number, columns: number, deviation: number): Tensor =>
    floats(
      device,
      Array.from({ length: rows * columns }, () => random.normal() * deviation),
      [rows, columns],
    );
  const params = {
    gate: normal(F, inputs, 1),
    up: normal(F, inputs, 1),
    down: normal(outputs, F, last),
  };
  const of = (x: Tensor): Tensor =>
    ops.linear(ops.swiglu(ops.linear(x, params.gate), ops.linear(x, params.up)), params.down);
  return { params, of };
}

/**
 * A network from a prompt, one-hot, to a number for each response: random numbers, or with `zero` all 0 before training, as a
 * reward has to be where nothing is known.
 */
export function promptNetwork(
  device: Device,
  { S, A, F, zero = false }: { S: number; A: number; F: number; zero?: boolean },
  seed: number,
): Table {
  const oneHot = eachOf(device, S);
  const { params, of } = network(device, S, F, A, zero ? 0 : 0.5 / Math.sqrt(F), seed);
  return { S, A, params, fixed: { each: eachOf(device, A), oneHot }, values: () => of(oneHot) };
}

/**
 * A line in what responses look like (random features [A, D], by seed), added to `start`, [A]: what moves one response moves
 * others. One prompt. It begins at `start`.
 */
export function sharedFeatures(device: Device, start: readonly number[], D: number, seed: number): Table {
  const A = start.length;
  const random = stream(seed, 1);
  const features = floats(
    device,
    Array.from({ length: A * D }, () => random.normal()),
    [A, D],
  );
  const first = floats(device, start, [1, A]);
  const slope = floats(device, new Float32Array(D), [1, D]);
  return {
    S: 1,
    A,
    params: { slope },
    fixed: { each: eachOf(device, A), features, first },
    values: () => ops.add(first, ops.linear(slope, features)),
  };
}

const eachOf = (device: Device, n: number): Tensor =>
  floats(
    device,
    Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0)),
    [n, n],
  );

/** log π(response | prompt) of a policy. */
export function logProbsOf(policy: Table): At {
  const device = deviceOf(policy);
  return (prompts, responses) =>
    ops.tokenLogProb(
      ops.gatherRows(policy.values(), ints(device, prompts)),
      policy.fixed.each,
      ints(device, responses),
    );
}

const valuesAt = (table: Table): At => {
  const device = deviceOf(table);
  return (prompts, responses) =>
    ops
      .gatherRows(
        table.values().view([table.S * table.A, 1]),
        ints(
          device,
          prompts.map((prompt, i) => prompt * table.A + responses[i]!),
        ),
      )
      .view([prompts.length]);
};

const everywhere = ({ S, A }: Table): [number[], number[]] => [
  Array.from({ length: S * A }, (_, i) => Math.floor(i / A)),
  Array.from({ length: S * A }, (_, i) => i % A),
];

async function read(tensor: Tensor): Promise<number[]> {
  try {
    return [...(await tensor.data())];
  } finally {
    tensor.dispose();
  }
}

/** log π of all responses to all prompts, [S·A]. */
export const allLogProbs = (policy: Table): Promise<number[]> =>
  read(scope(() => logProbsOf(policy)(...everywhere(policy))));

/** What is in the table, [S·A]. */
export const allValues = (table: Table): Promise<number[]> =>
  read(scope(() => valuesAt(table)(...everywhere(table))));

export interface Descent {
  steps: number;
  optimizer: Optimizer;
  /** Called before the first update and after every `every`-th. */
  watch?: { every: number; see: (step: number) => Promise<void> };
}

/** Updates `table` `steps` times on what `loss` says at each. */
async function descend(
  table: Table,
  { steps, optimizer, watch }: Descent,
  loss: (step: number) => Promise<readonly (() => Tensor)[]>,
): Promise<void> {
  using run = optimizer.init(table.params);
  await watch?.see(0);
  for (let step = 1; step <= steps; step++) {
    for (const one of await loss(step)) {
      const { value, grads } = valueAndGrad(table.params, one);
      disposeAll(
        value,
        grads,
        scope(() => run.step(grads).gradNorm),
      );
    }
    await deviceOf(table).ready({ behind: 16 });
    if (watch && step % watch.every === 0) await watch.see(step);
  }
}

const columns = (pairs: readonly Preference[]) => ({
  prompts: pairs.map(({ prompt }) => prompt),
  chosen: pairs.map(({ chosen }) => chosen),
  rejected: pairs.map(({ rejected }) => rejected),
});

/** Maximum likelihood of draws: one response a prompt in proportion to `shares`, [S·A], which add up to 1 at each prompt. */
export async function imitate(policy: Table, shares: readonly number[], how: Descent): Promise<void> {
  const device = deviceOf(policy);
  const at = logProbsOf(policy);
  await descend(policy, how, async () => [
    () =>
      ops.sum(
        ops.multiply(
          at(...everywhere(policy)),
          floats(
            device,
            shares.map((share) => -share / policy.S),
          ),
        ),
      ),
  ]);
}

/** The DPO loss of a policy on pairs; `reference`: [S·A] log-probabilities. */
export function dpoLoss(
  policy: Table,
  pairs: readonly Preference[],
  reference: readonly number[],
  beta: number,
): Tensor {
  const device = deviceOf(policy);
  const { prompts, chosen, rejected } = columns(pairs);
  const at = logProbsOf(policy);
  const known = (responses: readonly number[]): Tensor =>
    floats(
      device,
      responses.map((response, i) => reference[prompts[i]! * policy.A + response]!),
    );
  return preferenceLoss.dpo({
    chosen: at(prompts, chosen),
    rejected: at(prompts, rejected),
    refChosen: known(chosen),
    refRejected: known(rejected),
    beta,
  });
}

export const trainDpo = (
  policy: Table,
  pairs: readonly Preference[],
  reference: readonly number[],
  beta: number,
  how: Descent,
): Promise<void> => descend(policy, how, async () => [() => dpoLoss(policy, pairs, reference, beta)]);

/** Fits rewards to pairs by the Bradley–Terry model; `centering` keeps them finite where the pairs alone would not. */
export async function fitReward(
  reward: Table,
  pairs: readonly Preference[],
  how: Descent & { centering?: number },
): Promise<number[]> {
  const { prompts, chosen, rejected } = columns(pairs);
  const at = valuesAt(reward);
  const { centering = 0 } = how;
  await descend(reward, how, async () => [
    () =>
      preferenceLoss.bradleyTerry({
        chosen: at(prompts, chosen),
        rejected: at(prompts, rejected),
        centering,
      }),
  ]);
  return allValues(reward);
}

export interface PpoSettings extends Descent {
  beta: number;
  /** Responses drawn at each prompt in a step. */
  draws: number;
  /** Updates on them. */
  epochs: number;
  seed: number;
}

/** PPO on rewards [S·A], with β·(log π − log π_ref) taken off each; advantages are whitened. */
export async function trainPpo(
  policy: Table,
  rewards: readonly number[],
  reference: readonly number[],
  settings: PpoSettings,
): Promise<void> {
  const device = deviceOf(policy);
  const { S, A } = policy;
  const { beta, draws, epochs, seed } = settings;
  const at = logProbsOf(policy);
  const random = stream(seed, 2);
  await descend(policy, settings, async () => {
    const now = await allLogProbs(policy);
    const prompts = Array.from({ length: S * draws }, (_, i) => i % S);
    const responses = prompts.map((s) => draw(now.slice(s * A, (s + 1) * A), random));
    const here = (values: readonly number[]): Float32Array =>
      Float32Array.from(prompts, (s, i) => values[s * A + responses[i]!]!);
    const advantages = await read(
      scope(() => {
        const kl = klEstimate({
          policy: floats(device, here(now)),
          reference: floats(device, here(reference)),
        });
        return whiten(ops.add(floats(device, here(rewards)), kl, { beta: -beta }));
      }),
    );
    return Array.from(
      { length: epochs },
      () => () =>
        ppoPolicyLoss({
          logProbs: at(prompts, responses),
          oldLogProbs: floats(device, here(now)),
          advantages: floats(device, advantages),
        }),
    );
  });
}

function draw(logProbs: readonly number[], random: Random): number {
  let left = random.uniform();
  for (const [i, logProb] of logProbs.entries()) {
    left -= Math.exp(logProb);
    if (left < 0) return i;
  }
  return logProbs.length - 1;
}

/** Adam without surprises, for tables. */
export const adamOf = (lr: number): Optimizer => adam({ lr });

export const disposeTable = ({ params, fixed }: Table): void => disposeAll(params, fixed);
