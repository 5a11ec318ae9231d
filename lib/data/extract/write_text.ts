import type { Deadline } from "./page_limit.ts";
import type { PageElement } from "./page_tree.ts";

/**
 * The text of an element, one line for each paragraph, heading, list item ("- …") and table row ("a | b"), in reading order;
 * code keeps its lines. There are no empty lines.
 */
export function writeText(root: PageElement, deadline: Deadline): string {
  const writer = new LineWriter();
  // An element is met twice: its children go in between.
  const waiting: (PageElement | string | { readonly end: PageElement })[] = [root];
  for (let steps = 0; waiting.length > 0; steps++) {
    if (steps % 1024 === 0) deadline.check();
    const node = waiting.pop()!;
    if (typeof node === "string") writer.text(node);
    else if ("end" in node) writer.close(node.end);
    else {
      writer.open(node);
      waiting.push({ end: node });
      for (let i = node.children.length - 1; i >= 0; i--) waiting.push(node.children[i]!);
    }
  }
  return writer.finish();
}

class LineWriter {
  private readonly lines: string[] = [];
  private line = "";
  /** What goes before the next text: "- " of a list item, " | " of a cell. */
  private before = "";
  private pres = 0;
  /** Cells of data that are open: blocks in them are set apart by a space. */
  private cells = 0;

  open(element: PageElement): void {
    if (isCell(element)) {
      if (this.line.trim() !== "") this.before = " | ";
      this.cells++;
    } else if (element.block) this.breakLine();
    if (element.tag === "li" && this.cells === 0) this.before = "- ";
    if (element.tag === "pre") this.pres++;
  }

  close(element: PageElement): void {
    if (isCell(element)) this.cells--;
    else if (element.block) this.breakLine();
    if (element.tag === "li" && this.cells === 0) this.before = "";
    if (element.tag === "pre") this.pres--;
  }

  text(text: string): void {
    if (text === "\n") this.breakLine();
    else if (this.pres === 0) this.add(text);
    else {
      const [first = "", ...rest] = text.split(/\r\n?|\n/);
      this.add(first);
      for (const next of rest) {
        this.endLine();
        this.add(next);
      }
    }
  }

  finish(): string {
    this.endLine();
    // Control characters are no text, whatever they came from.
    return this.lines.join("\n").replace(/[^\P{Cc}\t\n]/gu, "");
  }

  private add(text: string): void {
    if (this.before !== "" && text.trim() !== "") {
      this.line = this.line.trimEnd() + this.before;
      this.before = "";
      this.line += this.pres > 0 ? text : text.trimStart();
    } else this.line += text;
  }

  private breakLine(): void {
    if (this.cells > 0) this.line += " ";
    else this.endLine();
  }

  private endLine(): void {
    if (this.line.trim() !== "")
      this.lines.push(this.pres > 0 ? this.line.trimEnd() : this.line.replace(/ {2,}/g, " ").trim());
    this.line = "";
    if (this.before === " | ") this.before = "";
  }
}

/** A cell of a table of data, which stands in one line with its row. Rows with many blocks, or with prose, lay out a page. */
function isCell({ tag, parent }: PageElement): boolean {
  if ((tag !== "td" && tag !== "th") || parent?.tag !== "tr") return false;
  const { blocks, children, prose } = parent;
  return blocks <= children.length || (prose === 0 && blocks <= 2 * children.length);
}
