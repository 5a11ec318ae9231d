// The texts that are compared: pages of Debian's documentation as a crawl recorded them, filtered in several ways.
import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import { ConfigError } from "../../../lib/core/errors.ts";
import {
  extract,
  filter,
  type PipelineVariant,
  pipelineVariants,
  read,
  type Step,
  step,
  type VariantTexts,
} from "../../../lib/index.ts";
import { wholeText } from "../../labelled_pages.ts";
import { paperFilters } from "./junk.ts";

/** The package whose pages nobody is trained on: its English text is held out, and translations leave parts of it in English. */
const kHeldOut = "debian-handbook";

/** The paper's filters, in the order in which they run. */
export const kFilters = ["gopherRepetition", "gopherQuality", "c4", "fineweb"] as const;

const labels = kFilters.map((name) => `filter.${name}`);
const kWhole = "whole page";

/** Main text of English pages throughout; "whole-page" is all their text, menus and footers included. */
const variants: Readonly<Record<string, PipelineVariant>> = {
  "whole-page": { without: ["extract.mainText", ...labels] },
  raw: { without: [kWhole, ...labels] },
  ...Object.fromEntries(kFilters.map((name, k) => [`without-${name}`, { without: [kWhole, labels[k]!] }])),
  filtered: { without: [kWhole] },
  "filtered-unique": { without: [kWhole], dedup: "global" },
  "unique-by-package": { without: [kWhole], dedup: { by: "package" } },
};

/** Writes down which package a page is of, by its URL, and drops the held-out one. */
const packageOf = (): Step =>
  step.filter("package", { heldOut: kHeldOut }, ({ metadata }) => {
    const name = new URL(String(metadata.url)).hostname.replace(/\.test$/, "");
    return name === kHeldOut
      ? { keep: false, reason: "held out" }
      : { keep: true, metadata: { package: name } };
  });

/** All text of a page, menus and footers included. */
const wholePage = (): Step =>
  step.filter(kWhole, {}, ({ text }) => {
    const all = wholeText(text);
    return all === "" ? { keep: false, reason: "empty" } : { keep: true, text: all };
  });

/**
 * Makes the texts of every variant from the WARC files in `crawl`, or takes those that are in `out`.
 * Throws ConfigError where there is no crawl.
 */
export async function crawlVariants(crawl: string, out: string): Promise<Record<string, VariantTexts>> {
  const names = existsSync(crawl) ? readdirSync(crawl).filter((name) => /-\d+\.warc\.gz$/.test(name)) : [];
  if (names.length === 0) {
    throw new ConfigError(
      `fineweb: ${crawl} holds no crawl (debian-00000.warc.gz …), one was needed. Run: npx tsx bench/debian_crawl.ts --out ${crawl}`,
      "crawl",
    );
  }
  return pipelineVariants({
    steps: [
      read.warc(names.sort().map((name) => path.join(crawl, name))),
      packageOf(),
      wholePage(),
      extract.mainText(),
      filter.language({ languages: "en" }),
      ...paperFilters(),
    ],
    variants,
    out,
  });
}
