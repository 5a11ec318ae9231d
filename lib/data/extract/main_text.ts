import { checkNumber, refuseUnknown } from "../../core/options.ts";
import type { Verdict } from "../document.ts";
import { type Filter, filterStep } from "../step.ts";
import { mainContent } from "./main_content.ts";
import { Deadline, PageLimit } from "./page_limit.ts";
import { readPage } from "./page_tree.ts";
import { writeText } from "./write_text.ts";

const kStep = "extract.mainText";

export interface MainTextOptions {
  /** A page that takes longer, in ms of the clock, is dropped as "timeout". Default 1000. */
  readonly timeoutMs?: number;
}

/**
 * The main text of a page: its HTML becomes one line for each paragraph, heading, list item and table row, without what stands
 * around it (menus, banners, comments, related pages, footers). It rather leaves something out than lets such things in.
 * The page's title goes into `metadata.title`. A document whose `metadata.contentType` is text/plain (of a WET file)
 * passes as it is.
 *
 * Dropped: "empty" (nothing is left), "timeout", "too_deep" (over 4096 elements within each other), "too_many_nodes" (over a
 * million). While it is worked on, a page takes about three times its size in memory; one of nothing but tags more, up to
 * 300 MB besides its text.
 */
export function mainText(options: MainTextOptions = {}): Filter {
  refuseUnknown(kStep, options, ["timeoutMs"]);
  const { timeoutMs = 1000 } = options;
  checkNumber(kStep, { timeoutMs }, 0);
  return filterStep(kStep, { timeoutMs }, ({ text, metadata }) =>
    metadata.contentType === "text/plain" ? { keep: true } : extract(text, timeoutMs),
  );
}

/** The verdict on a page, by its HTML alone. */
export function extract(html: string, timeoutMs: number): Verdict {
  const deadline = new Deadline(timeoutMs);
  try {
    const page = readPage(html, deadline);
    const text = writeText(mainContent(page, deadline), deadline);
    if (text === "") return { keep: false, reason: "empty" };
    return { keep: true, text, metadata: page.title === "" ? {} : { title: page.title } };
  } catch (error) {
    if (error instanceof PageLimit) return { keep: false, reason: error.reason };
    throw error;
  }
}
