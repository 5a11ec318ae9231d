import { expect, test, vi } from "vitest";
import { noteRows } from "../../lib/cli/rows_note.ts";

function noted(...of: Parameters<typeof noteRows>): string[] {
  const write = vi.spyOn(process.stderr, "write").mockImplementation(() => true);
  try {
    noteRows(...of);
    return write.mock.calls.map(([text]) => String(text));
  } finally {
    write.mockRestore();
  }
}

test("rows that are cut and left out are told with their number and the first line", () => {
  const dropped = [
    { line: 2, reason: "the prompt has no tokens" },
    { line: 7, reason: "chosen has no tokens" },
  ];
  expect(noted("pairs", Array(6), { truncated: [4, 5, 9], dropped }, 64)).toEqual([
    "3 of 6 pairs are cut to 64 tokens, the first in line 4\n",
    "2 pairs are left out, the first in line 2: the prompt has no tokens\n",
  ]);
});

test("nothing is told where nothing is cut or left out", () => {
  expect(noted("pairs", Array(6), { truncated: [], dropped: [] }, 64)).toEqual([]);
});
