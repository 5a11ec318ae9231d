// Losses of all models, as Markdown.
import { markdownTable, meanText } from "../findings.ts";
import { endOf, type Measures, type Study, secondsOf, startOf, unionOf } from "./study.ts";

const cells = ({ old, new: newer, average }: Measures): string[] =>
  [old, newer, average].map((values) => meanText(values));

/** One table a part. */
export function lossTables(study: Study): string[] {
  const { options, seeds } = study;
  const columns = ["model", "old text, bits a byte", "new text", "average"];
  const shifts = (["strong", "weak", "none"] as const).filter((shift) =>
    secondsOf(options).some((second) => second.shift === shift),
  );
  return shifts.map((shift) => {
    const starts = (["cosine", "infinite", "infinite, annealed"] as const).filter(
      (start) => seeds[0]!.starts[start] !== undefined,
    );
    const rows = [
      ...starts.map((start) => [`first phase, ${start}`, ...cells(startOf(study, start, shift))]),
      ...secondsOf(options)
        .filter((second) => second.shift === shift)
        .map((second) => [
          `${100 * second.replay} % replay, ${second.rates}`,
          ...cells(endOf(study, second)),
        ]),
    ];
    if (seeds[0]!.unions[shift]) {
      rows.push(["union, all tokens", ...cells(unionOf(study, shift, "all"))]);
      rows.push(["union, tokens of the second phase", ...cells(unionOf(study, shift, "short"))]);
    }
    return `${shift === "none" ? "no" : shift} shift\n\n${markdownTable(columns, rows)}`;
  });
}
