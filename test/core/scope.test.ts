import { afterAll, expect, test } from "vitest";
import { device } from "../../lib/core/device.ts";
import { ConfigError } from "../../lib/core/errors.ts";
import { keep, scope, tensorsIn } from "../../lib/core/scope.ts";
import { disposeAll } from "../../lib/core/tape.ts";
import type { Tensor } from "../../lib/core/tensor.ts";

const dev = await device("cpu", { threads: 1, debug: ["guard"] });
afterAll(() => {
  expect(dev.stats().live).toBe(0);
  dev.close();
});

test("what isn't in the result is disposed", async () => {
  let inside!: Tensor;
  const result = scope(() => {
    inside = dev.full([3]);
    return { list: [dev.full([1], 4)], n: 7, nothing: null, at: new Date(0) };
  });
  expect(inside.disposed).toBe(true);
  expect(dev.stats().live).toBe(1);
  expect(await result.list[0]!.item()).toBe(4);
  disposeAll(result);
});

test("nested: a result belongs to the enclosing scope", () => {
  const made: Tensor[] = [];
  scope(() => {
    const first = scope(() => {
      made.push(dev.full([1]));
      return dev.full([2]);
    });
    made.push(first);
    expect(made.map((t) => t.disposed)).toEqual([true, false]);
  });
  expect(made.map((t) => t.disposed)).toEqual([true, true]);
});

test("tensors from outside are left alone, in the result or not", () => {
  const outside = dev.full([1]);
  expect(scope(() => outside)).toBe(outside);
  scope(() => undefined);
  expect(outside.disposed).toBe(false);
  outside.dispose();
});

test("a view in the result keeps its memory, not its root's handle", async () => {
  const part = scope(() => dev.tensor([1, 2, 3], [3]).view([1], 1));
  expect(part.root.disposed).toBe(true);
  expect(await part.item()).toBe(2);
  part.dispose();
});

test("keep takes a tensor out", () => {
  let kept!: Tensor;
  scope(() => {
    kept = keep(dev.full([1]));
  });
  expect(kept.disposed).toBe(false);
  kept.dispose();
});

test("an exception disposes everything, and the outer scope goes on", () => {
  let inner!: Tensor;
  const result = scope(() => {
    expect(() =>
      scope(() => {
        inner = dev.full([1]);
        throw new Error("stop");
      }),
    ).toThrow("stop");
    return dev.full([2]);
  });
  expect(inner.disposed).toBe(true);
  expect(result.disposed).toBe(false);
  result.dispose();
});

test("a promise is refused", () => {
  expect(() => scope(async () => dev.full([1]))).toThrow(ConfigError);
});

test("a tensor disposed inside, and one in the result twice", () => {
  const [x, y] = scope(() => {
    const tensor = dev.full([1]);
    dev.full([1]).dispose();
    return [tensor, tensor];
  });
  expect(x).toBe(y);
  x!.dispose();
});

test("tensorsIn looks into arrays and plain objects only", () => {
  const tensor = dev.full([1]);
  class Owner {
    tensor = tensor;
  }
  expect([...tensorsIn({ a: [tensor, { b: tensor }], c: new Owner(), d: new Map([[1, tensor]]) })]).toEqual([
    tensor,
    tensor,
  ]);
  tensor.dispose();
});
