import { expect, it } from "vitest";
import { mixwright, objectsIn, tinyModel, works } from "../support/cli.ts";

const args = ["chat", "--model", tinyModel("llama"), "--temperature", "0", "--json"];
const { max_position_embeddings: context } = (
  await import(`${tinyModel("llama")}/config.json`, { with: { type: "json" } })
).default;

it("goes on when the context is full, without the oldest turns", async () => {
  const stdin = "the quick brown fox jumps\n".repeat(Math.ceil(context / 8));
  const { code, stdout, stderr } = await mixwright([...args, "--max-new-tokens", "4", "--system", "hum"], {
    stdin,
  });
  expect(stderr).toMatch(
    /^The context of \d+ tokens is full: the oldest 2 messages are left out from here on\.\n/,
  );
  expect(code).toBe(0);
  expect(objectsIn(stdout)).toHaveLength(Math.ceil(context / 8));
});

it("says when one message is too long, and goes on", async () => {
  const { code, stdout, stderr } = await mixwright([...args, "--max-new-tokens", "4"], {
    stdin: `${"zebra ".repeat(context)}\nhi\n`,
  });
  expect(stderr).toMatch(/^This message is too long: \d+ tokens .* context is \d+\.\n$/);
  expect(code).toBe(0);
  expect(objectsIn(stdout)).toHaveLength(1);
});

it("says in its help how to leave", async () => {
  expect(await works(["chat", "--help"])).toContain("Ctrl-D leaves");
});
