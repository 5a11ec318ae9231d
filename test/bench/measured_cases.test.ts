import { expect, test } from "vitest";
import { callCases } from "../../bench/peers/call_cases.ts";
import { threadCases } from "../../bench/peers/thread_cases.ts";

const arena = { peers: [], folder: "", isa: "" };

test("an empty call's time is a number of microseconds, and says which part JavaScript waits for", async () => {
  const { value, note } = await callCases.find(({ figure }) => figure === "C14.call_us")!.measure(arena);
  expect(value).toBeGreaterThan(0);
  expect(value).toBeLessThan(1000);
  expect(Number.parseFloat(note)).toBeLessThanOrEqual(value!);
});

test("two threads are held against one, alone and beside a process that takes a processor", async () => {
  const works = (figure: string) => threadCases.filter((one) => one.figure === figure);
  expect(works("C12.busy").length).toBe(works("C12.idle").length);
  const swiglu = works("C12.busy").find(({ title }) => title.startsWith("swiglu"))!;
  const { value, note } = await swiglu.measure(arena);
  const [one, two] = note.match(/[\d.]+ ms/g)!.map(Number.parseFloat);
  expect(value).toBeCloseTo(one! / two!, 1);
});
