import { headingTags } from "./boilerplate.ts";
import type { Deadline } from "./page_limit.ts";
import { type Page, PageElement } from "./page_tree.ts";

/** What stands beside the main text may not hold more than this share of the page's text. */
const kAsideShare = 0.4;
/** Share of an element's text that one of its children must hold for the child to be the main content instead. */
const kDominant = 0.75;
/** Share of an element's text that may be lost, as prose in the other children, by going to that child. */
const kLost = 0.03;
/** Text of which this share is prose is prose. */
const kMostly = 0.6;
/** How many siblings to either side are looked at. */
const kNear = 8;

/**
 * The element that holds the page's main text, with what isn't part of it taken out of the tree:
 * 1. what stands aside by its tag, role, class or id goes, unless much of the page's text stands in it;
 * 2. from the page downwards, go to the child with most of the text, while nothing else there is prose;
 * 3. below that, boxes of links go, and headings with nothing under them.
 */
export function mainContent({ root }: Page, deadline: Deadline): PageElement {
  const most = kAsideShare * weight(root);
  removeWhere(
    root,
    deadline,
    (element, at, siblings) =>
      element.standing !== "main" && weight(element) <= most && !isBoxInText(element, at, siblings),
  );
  const main = dominant(root);
  removeWhere(main, deadline, isLinkBox);
  const empty = emptyHeadings(main, deadline);
  removeWhere(main, deadline, (element) => empty.has(element));
  return main;
}

/** How much an element says: its prose, and a little for what else isn't a link. */
const weight = ({ prose, chars, linkChars }: PageElement): number => prose + 0.05 * (chars - linkChars);

const isElement = (child: PageElement | string): child is PageElement => typeof child !== "string";
const isProse = ({ prose, chars }: PageElement): boolean => chars > 0 && prose >= kMostly * chars;

/** A box of a textbook: a sidebar by name, but it is prose, next to other prose on both sides. */
function isBoxInText(element: PageElement, at: number, siblings: PageElement[]): boolean {
  return (
    element.standing === "box" &&
    isProse(element) &&
    neighbourIsProse(siblings, at, -1) &&
    neighbourIsProse(siblings, at, 1)
  );
}

/** The next sibling that says something and is no aside itself; further than `kNear` away, there is none. */
function neighbourIsProse(siblings: PageElement[], at: number, step: 1 | -1): boolean {
  for (let near = 1; near <= kNear; near++) {
    const other = siblings[at + near * step];
    if (other === undefined) return false;
    if (other.standing === "main" && other.chars > 0) return isProse(other);
  }
  return false;
}

function dominant(root: PageElement): PageElement {
  for (let at = root; ; ) {
    const children = at.children.filter(isElement);
    if (children.length === 0) return at;
    const heaviest = children.reduce((best, child) => (weight(child) > weight(best) ? child : best));
    if (!heaviest.block || isOnePart(heaviest) || weight(heaviest) < kDominant * weight(at)) return at;
    let lost = 0;
    for (const child of children) if (child !== heaviest && isProse(child)) lost += child.prose;
    if (lost > kLost * weight(at)) return at;
    at = heaviest;
  }
}

/** One paragraph, list or quotation is not the main content by itself: what stands around it belongs to it. */
const parts = new Set(["p", "pre", "li", "dd", "dt", "blockquote", "ul", "ol", "dl", "figure"]);
const isOnePart = ({ tag }: PageElement): boolean => parts.has(tag) || headingTags.has(tag);

/** Lists, tables and boxes of links, with no prose worth the name. */
function isLinkBox({ block, tag, links, chars, linkChars, prose }: PageElement): boolean {
  if (!block || headingTags.has(tag) || links === 0) return false;
  return linkChars > 0.6 * chars && prose < 0.2 * chars && (links > 1 || tag !== "p");
}

/** Takes out elements for which `gone` says so, from the top; what they held no longer counts above. */
function removeWhere(
  root: PageElement,
  deadline: Deadline,
  gone: (element: PageElement, at: number, siblings: PageElement[]) => boolean,
): void {
  const waiting = [root];
  for (let steps = 0; waiting.length > 0; steps++) {
    if (steps % 1024 === 0) deadline.check();
    const element = waiting.pop()!;
    const lost = new Set(element.children.filter(isElement).filter(gone));
    if (lost.size > 0) {
      element.children = element.children.filter((child) => !isElement(child) || !lost.has(child));
      forget(element, lost);
    }
    for (const child of element.children) if (isElement(child)) waiting.push(child);
  }
}

/** What `lost` held no longer counts in `parent` and above it. */
function forget(parent: PageElement, lost: ReadonlySet<PageElement>): void {
  const sum = new PageElement("", undefined, "main");
  for (const { chars, linkChars, links, prose, blocks, block } of lost) {
    sum.chars += chars;
    sum.linkChars += linkChars;
    sum.links += links;
    sum.prose += prose;
    sum.blocks += blocks + (block ? 1 : 0);
  }
  for (let above: PageElement | undefined = parent; above !== undefined; above = above.parent) {
    above.chars -= sum.chars;
    above.linkChars -= sum.linkChars;
    above.links -= sum.links;
    above.prose -= sum.prose;
    above.blocks -= sum.blocks;
  }
}

/** Headings whose section was taken out: what comes next is a heading of the same level or above it, or the end. */
function emptyHeadings(main: PageElement, deadline: Deadline): ReadonlySet<PageElement> {
  const empty = new Set<PageElement>();
  // From the end: the level of the next heading; 7 for text, 0 for the end.
  let next = 0;
  const waiting: (PageElement | string)[] = [main];
  for (let steps = 0; waiting.length > 0; steps++) {
    if (steps % 1024 === 0) deadline.check();
    const node = waiting.pop()!;
    if (!isElement(node)) {
      if (node.trim() !== "") next = 7;
    } else if (headingTags.has(node.tag)) {
      const level = Number(node.tag[1]);
      if (next <= level) empty.add(node);
      else next = level;
    } else for (const child of node.children) waiting.push(child);
  }
  return empty;
}
