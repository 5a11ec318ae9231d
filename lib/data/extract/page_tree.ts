import { Parser } from "htmlparser2";
import { blockTags, headTags, isHidden, type Standing, silentTags, standing } from "./boilerplate.ts";
import { type Deadline, PageLimit } from "./page_limit.ts";

/** A run of text between two breaks of line says something if it has this many characters (half as many where they're CJK). */
const kProseChars = 40;
/** Nodes and depth beyond these are no page for people. A million nodes take about 300 MB. */
const kMaxNodes = 1_000_000;
const kMaxDepth = 4096;
/** Characters that are parsed between two looks at the clock. */
const kChunk = 32_768;

/** An element of a page with what it holds, in numbers; silent and hidden ones aren't there. */
export class PageElement {
  /** Text has its white space collapsed, except within `pre`; "\n" alone is a break of line. */
  children: (PageElement | string)[] = [];
  readonly block: boolean;
  /** Characters of text, and of those within links. */
  chars = 0;
  linkChars = 0;
  links = 0;
  /** Characters outside of links in runs of text that are long enough to be prose. */
  prose = 0;
  /** Block elements and breaks of line below. */
  blocks = 0;

  constructor(
    readonly tag: string,
    readonly parent: PageElement | undefined,
    readonly standing: Standing,
  ) {
    this.block = blockTags.has(tag);
  }
}

export interface Page {
  readonly root: PageElement;
  readonly title: string;
}

/** Reads HTML, however broken, into a tree. @throws PageLimit where time, nodes or depth run out. */
export function readPage(html: string, deadline: Deadline): Page {
  const builder = new TreeBuilder(deadline);
  const parser = new Parser(builder, { lowerCaseAttributeNames: true });
  for (let at = 0; at < html.length; at += kChunk) {
    deadline.check();
    parser.write(html.slice(at, at + kChunk));
  }
  parser.end();
  return builder.finish();
}

/** A header within one of these is its own. */
const articleTags = new Set(["article", "main", "section"]);

/** What a link to a heading itself shows. */
const linkSigns = new Set<unknown>(["¶", "#", "§", "🔗"]);

const cjk = /[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]/;

class TreeBuilder {
  private readonly root = new PageElement("#page", undefined, "main");
  private at: PageElement = this.root;
  private nodes = 0;
  private depth = 0;
  /** How deep below a silent element the parser is; 0 outside. */
  private silent = 0;
  private silentTag = "";
  private links = 0;
  private pres = 0;
  private articles = 0;
  private title = "";
  private inTitle = false;
  private text = "";
  /** The run of text since the last break of line. */
  private run = { chars: 0, linkChars: 0, wide: false };

  constructor(private readonly deadline: Deadline) {}

  onopentag(tag: string, attributes: Record<string, string>): void {
    if (++this.depth > kMaxDepth) throw new PageLimit("too_deep");
    if (++this.nodes > kMaxNodes) throw new PageLimit("too_many_nodes");
    if (this.nodes % 1024 === 0) this.deadline.check();
    const inHead = this.silent === 1 && this.silentTag === "head";
    if (tag === "title" && this.title === "" && (inHead || this.silent === 0)) this.inTitle = true;
    // A head that was never closed ends where the page's text begins.
    if (inHead && !headTags.has(tag)) this.silent = 0;
    if (this.silent > 0) {
      this.silent++;
      return;
    }
    this.endText();
    if (tag === "br") {
      this.endRun();
      this.at.children.push("\n");
      this.at.blocks++;
      return;
    }
    if (silentTags.has(tag) || isHidden(attributes)) {
      this.silent = 1;
      this.silentTag = tag;
      return;
    }
    const element = new PageElement(tag, this.at, standing(tag, attributes, this.articles > 0));
    if (element.block) this.endRun();
    if (tag === "a") this.links++;
    if (tag === "pre") this.pres++;
    if (articleTags.has(tag)) this.articles++;
    this.at.children.push(element);
    this.at = element;
  }

  onclosetag(tag: string): void {
    this.depth--;
    if (tag === "title") this.inTitle = false;
    if (this.silent > 0) {
      this.silent--;
      return;
    }
    if (tag === "br") return;
    this.endText();
    const { at } = this;
    if (at === this.root || at.tag !== tag) return;
    if (at.block) this.endRun();
    if (tag === "a") {
      this.links--;
      at.links++;
      if (at.children.length === 1 && linkSigns.has(at.children[0])) at.children = [];
    }
    if (tag === "pre") this.pres--;
    if (articleTags.has(tag)) this.articles--;
    const parent = at.parent!;
    parent.chars += at.chars;
    parent.linkChars += at.linkChars;
    parent.links += at.links;
    parent.prose += at.prose;
    parent.blocks += at.blocks + (at.block ? 1 : 0);
    this.at = parent;
  }

  ontext(text: string): void {
    if (this.inTitle) this.title += text;
    else if (this.silent === 0) this.text += text;
  }

  finish(): Page {
    this.endText();
    this.endRun();
    const title = this.title.replace(/\s+/g, " ").trim();
    return { root: this.root, title };
  }

  private endText(): void {
    if (this.text === "") return;
    const text = this.pres > 0 ? this.text : this.text.replace(/\s+/g, " ");
    this.text = "";
    this.at.children.push(text);
    const chars = text === " " ? 0 : text.length;
    this.at.chars += chars;
    this.run.chars += chars;
    this.run.wide ||= chars > 0 && cjk.test(text);
    if (this.links > 0) {
      this.at.linkChars += chars;
      this.run.linkChars += chars;
    }
  }

  /** A line ends here: if what it says is prose, the element that it stands in gets it. */
  private endRun(): void {
    const { chars, linkChars, wide } = this.run;
    if (chars === 0) return;
    if (chars >= (wide ? kProseChars / 2 : kProseChars) && linkChars * 2 < chars)
      this.at.prose += chars - linkChars;
    this.run = { chars: 0, linkChars: 0, wide: false };
  }
}
