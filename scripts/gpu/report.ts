import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";

export type Cells = (string | number)[];

const line = (cells: Cells): string =>
  `| ${cells.map((cell) => String(cell).replaceAll("|", "/")).join(" | ")} |`;

/** Markdown on stdout and, with a folder, in report.md there as well; figures as one JSON object a line in raw.jsonl. */
export class Report {
  failed = false;

  constructor(private readonly folder: string | undefined) {
    if (folder === undefined) return;
    mkdirSync(folder, { recursive: true });
    for (const file of ["report.md", "raw.jsonl"]) writeFileSync(path.join(folder, file), "");
  }

  readonly print = (...lines: string[]): void => {
    const text = `${lines.join("\n")}\n`;
    process.stdout.write(text);
    this.append("report.md", text);
  };

  /** The head of a table whose rows come one by one. */
  head(...cells: Cells): void {
    this.print("", line(cells), `|${" --- |".repeat(cells.length)}`);
  }

  row(...cells: Cells): void {
    if (cells.includes("FAILED")) this.failed = true;
    this.print(line(cells));
  }

  table(...[head, ...body]: Cells[]): void {
    this.head(...head!);
    for (const row of body) this.row(...row);
    this.print("");
  }

  readonly keep = (entry: object): void => this.append("raw.jsonl", `${JSON.stringify(entry)}\n`);

  private append(file: string, text: string): void {
    if (this.folder !== undefined) appendFileSync(path.join(this.folder, file), text);
  }

  /** A table under a heading, or the reason why there is none. */
  async section(title: string, rows: () => Promise<Cells[]>): Promise<void> {
    this.print("", `## ${title}`);
    try {
      const found = await rows();
      this.table(...found);
      const [head, ...body] = found;
      for (const row of body)
        this.keep({ title, ...Object.fromEntries(row.map((cell, i) => [head![i], cell])) });
    } catch (error) {
      this.failed = true;
      this.print("", `FAILED: ${(error as Error).stack}`);
    }
  }
}
