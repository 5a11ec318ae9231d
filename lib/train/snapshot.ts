import { owned } from "../core/device.ts";
import { run } from "../core/run.ts";
import { scope } from "../core/scope.ts";
import { withoutGrad } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { copyInto } from "../ops/add.ts";

/** A copy of parameters, which the model can run with for a while. It takes their memory once, and twice while it runs. */
export class Snapshot {
  readonly tensors: Readonly<Record<string, Tensor>>;

  /** `dtype`: f32 for one that follows, as small steps vanish in bf16. Default: the parameters'. */
  constructor(
    private readonly params: Readonly<Record<string, Tensor>>,
    dtype?: "f32",
  ) {
    this.tensors = Object.fromEntries(
      Object.entries(params).map(([name, param]) => [
        name,
        owned(copyOf(param, dtype), `snapshot of ${name}`),
      ]),
    );
  }

  /** Runs `fn`, which is synchronous, with the parameters as they are in the snapshot. */
  during<T>(fn: () => T): T {
    return withoutGrad(() =>
      scope(() => {
        const names = Object.keys(this.params);
        const now = names.map((name) => copyOf(this.params[name]!));
        for (const name of names) copyInto(this.tensors[name]!, this.params[name]!);
        try {
          return fn();
        } finally {
          names.forEach((name, i) => {
            copyInto(now[i]!, this.params[name]!);
          });
        }
      }),
    );
  }

  /** Moves the snapshot towards the parameters: decay · snapshot + (1 − decay) · parameters. */
  follow(decay: number): void {
    for (const [name, tensor] of Object.entries(this.tensors)) {
      run("add", tensor, this.params[name]!, tensor, decay, 1 - decay);
      tensor.version++;
    }
  }

  dispose(): void {
    for (const tensor of Object.values(this.tensors)) tensor.dispose();
  }
}

function copyOf(tensor: Tensor, dtype = tensor.dtype): Tensor {
  const copy = tensor.device.empty(tensor.shape, dtype);
  copyInto(tensor, copy);
  return copy;
}
