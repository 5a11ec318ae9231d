import { owned } from "../core/device.ts";
import { ConfigError, DisposedError, DTypeError, ShapeError } from "../core/errors.ts";
import { checkWhole } from "../core/options.ts";
import { run } from "../core/run.ts";
import { scope } from "../core/scope.ts";
import { disposeAll } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { checkFit, checkNames, checkParams, checkRange } from "./checks.ts";
import { type Group, groupsOf, listsOf, makeState } from "./groups.ts";
import type { Rule, UpdateLists } from "./optimizer.ts";

type Tensors = Readonly<Record<string, Tensor>>;

/** The numbers of a state tensor: whole numbers where it is i32. */
type Saved = Float32Array | Int32Array;

/** An optimizer at work on a set of parameters. Use `optimizer.init(params)`. */
export class OptimizerRun {
  #updates = 0;
  #resetAt = 0;
  #disposed = false;
  readonly #params: Tensors;
  readonly #state: Record<string, Tensor> = {};
  readonly #groups: readonly (Group & Omit<UpdateLists, "grads">)[];

  /** @internal */
  constructor(
    private readonly rule: Rule,
    private readonly maxNorm: number,
    params: Tensors,
  ) {
    checkParams(rule.name, params);
    this.#params = { ...params };
    const groups = groupsOf(rule, this.#params);
    const made = scope(() => makeState(rule, this.#params));
    for (const [name, tensor] of Object.entries(made)) this.#state[name] = owned(tensor, name);
    this.#groups = groups.map((group) => ({ ...group, ...listsOf(group, this.#params, this.#state) }));
  }

  /** Updates done so far. */
  get updates(): number {
    return this.#updates;
  }

  /** Updates that had been done when the state was last reset; 0 if it never was. */
  get resetAt(): number {
    return this.#resetAt;
  }

  /**
   * Forgets what earlier gradients left: moments are zero again, and bias corrections count from here. The learning rate's
   * schedule goes on, and so do f32 masters.
   */
  reset(): void {
    this.checkLive();
    for (const { states } of this.#groups) {
      for (const tensor of states.flat()) run("fill", tensor, 0);
    }
    this.#resetAt = this.#updates;
  }

  /**
   * One update of all parameters, in place. `gradNorm` is the norm of all gradients together, before clipping, as a device
   * scalar that the caller disposes. A NaN or infinity among the gradients poisons the device before any parameter changes.
   * Gradients are left as they are.
   *
   * @throws ConfigError when `grads` has other names than the parameters, or the schedule gives no usable rate.
   * @throws ShapeError, DTypeError for a gradient that isn't f32 of its parameter's shape.
   */
  step(grads: Tensors): { lr: number; gradNorm: Tensor } {
    this.checkLive();
    this.checkGrads(grads);
    const rates = new Map(
      [this.rule, ...this.#groups.map(({ rule }) => rule)].map((rule) => [rule, this.rate(rule)]),
    );
    const step = this.#updates - this.#resetAt + 1;
    const gradNorm = scope(() => {
      const { norm, scale } = this.norm(Object.keys(this.#params).map((name) => grads[name]!));
      const gradScale = this.maxNorm === Number.POSITIVE_INFINITY ? undefined : scale;
      for (const { rule, names, lrScale, decay, ...lists } of this.#groups) {
        const lr = rates.get(rule)! * lrScale;
        rule.update({ ...lists, grads: names.map((name) => grads[name]!) }, { lr, decay, step, gradScale });
      }
      return norm;
    });
    for (const param of Object.values(this.#params)) param.root.version++;
    this.#updates++;
    return { lr: rates.get(this.rule)!, gradNorm };
  }

  /**
   * The state tensors by name: `<state>.<parameter>` (`first` and `second` of adam, in 8 bits with `firstScale` and
   * `secondScale`; `momentum` of lion and muon; `velocity` of sgd) and `master.<parameter>` for bf16 parameters. They are the run's own, not copies: later updates change them.
   */
  state(): Record<string, Tensor> {
    this.checkLive();
    return { ...this.#state };
  }

  /**
   * Continues from a saved state: the numbers of `state()`, how many updates it had seen, and at which of them it was reset
   * last. The parameters themselves are the caller's to restore.
   *
   * @throws ConfigError when names are missing or unknown, ShapeError or DTypeError when one doesn't fit. Nothing is
   * changed then.
   */
  load(saved: {
    updates: number;
    resetAt?: number;
    tensors: Readonly<Record<string, Tensor | Saved>>;
  }): void {
    this.checkLive();
    const { updates, resetAt = 0, tensors } = saved;
    checkWhole("load", { updates, resetAt }, 0);
    if (resetAt > updates)
      throw new ConfigError(
        `load: resetAt is ${resetAt}, at most updates (${updates}) was needed`,
        "resetAt",
      );
    checkNames("load", "state tensors", tensors, this.#state);
    for (const [name, mine] of Object.entries(this.#state)) checkSaved(name, tensors[name]!, mine);
    for (const [name, mine] of Object.entries(this.#state)) {
      const given = tensors[name]!;
      if ("isTensor" in given) run("copy", given, mine);
      else mine.write(given);
    }
    this.#updates = updates;
    this.#resetAt = resetAt;
  }

  /** Gives the state tensors back. The parameters stay. */
  dispose(): void {
    this.#disposed = true;
    disposeAll(this.#state);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  private rate({ name, lr }: Rule): number {
    const now = typeof lr === "function" ? lr(this.#updates) : lr;
    checkRange(`${name} after ${this.#updates} updates`, { lr: now });
    return now;
  }

  private norm(grads: readonly Tensor[]): { norm: Tensor; scale: Tensor } {
    const { device } = grads[0]!;
    const total = device.empty([1]);
    const norm = device.empty([1]);
    const scale = device.empty([1]);
    run("sum_squares", grads, total);
    run("clip_scale", total, norm, scale, this.maxNorm);
    device.at("gradient norm", () => run("require_finite", norm)); // fails before any parameter is touched
    norm.label = "gradient norm";
    return { norm, scale };
  }

  private checkLive(): void {
    if (this.#disposed)
      throw new DisposedError(`${this.rule.name}: the run was disposed, a live one was needed`);
  }

  private checkGrads(grads: Tensors): void {
    checkNames(`${this.rule.name}.step`, "gradients", grads, this.#params);
    for (const [name, param] of Object.entries(this.#params)) {
      checkFit(`${this.rule.name}.step`, `the gradient of ${name}`, grads[name]!, param);
    }
  }
}

function checkSaved(name: string, given: Tensor | Saved, mine: Tensor): void {
  if ("isTensor" in given) {
    checkFit("load", name, given, mine, mine.dtype);
    return;
  }
  const dtype = given instanceof Float32Array ? "f32" : "i32";
  if (dtype !== mine.dtype) {
    throw new DTypeError(`load: ${name} is ${dtype}, ${mine.dtype} was needed (${mine})`, "load", [
      mine.toString(),
    ]);
  }
  if (given.length !== mine.size) {
    throw new ShapeError(
      `load: ${name} has ${given.length} numbers, ${mine.size} were needed (${mine})`,
      "load",
      [mine.toString()],
    );
  }
}
