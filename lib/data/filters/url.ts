import { parse } from "tldts";
import { ConfigError, FormatError } from "../../core/errors.ts";
import { checkWhole, refuseUnknown } from "../../core/options.ts";
import type { Document, Verdict } from "../document.ts";
import { type Filter, filterStep } from "../step.ts";
import { subwordSearch } from "./subword_search.ts";
import { checkList, entrySet, lettersAndDigits, readEntries, type UrlList } from "./url_lists.ts";

/** Each list: the entries, or a file of one a line. */
export interface UrlOptions {
  /** Registered domains ("site.co.uk": all hosts below it) and whole host names. */
  blockedDomains?: UrlList;
  /** Whole URLs, letter by letter. */
  blockedUrls?: UrlList;
  /** One of these as a word of the URL is enough. Words are runs of letters and digits, in any case. */
  bannedWords?: UrlList;
  /** Of these it takes `softWordThreshold` different ones. */
  softBannedWords?: UrlList;
  /** Default 2. */
  softWordThreshold?: number;
  /** Enough anywhere in the URL's letters and digits. */
  bannedSubwords?: UrlList;
}

const listKeys = [
  "blockedDomains",
  "blockedUrls",
  "bannedWords",
  "softBannedWords",
  "bannedSubwords",
] as const;
type ListKey = (typeof listKeys)[number];

type Lists = Record<ListKey, ReadonlySet<string>>;

const comparable: Record<ListKey, (entry: string) => string> = {
  blockedDomains: (entry) => entry.toLowerCase(),
  blockedUrls: (entry) => entry,
  bannedWords: lettersAndDigits,
  softBannedWords: lettersAndDigits,
  bannedSubwords: lettersAndDigits,
};

/**
 * Drops documents by `metadata.url`: the rules of FineWeb's URL filter (datatrove), with its reasons. There are no built-in
 * lists. Unlike there, words are compared in any case, and domains of unknown top levels count. Throws ConfigError if no list
 * is given; while running, FormatError for a document without a URL.
 */
export function url(options: UrlOptions = {}): Filter {
  refuseUnknown("filter.url", options, [...listKeys, "softWordThreshold"]);
  const { softWordThreshold = 2 } = options;
  checkWhole("filter.url", { softWordThreshold }, 1);
  const given = listKeys.filter((key) => options[key] !== undefined);
  for (const key of given) checkList(key, options[key]);
  if (given.length === 0) {
    throw new ConfigError(`filter.url: no list was given, one at least was needed: ${listKeys.join(", ")}`);
  }
  // Lists that are given as entries need no waiting.
  const entriesOf = (key: ListKey): readonly string[] => (options[key] ?? []) as readonly string[];
  const inFiles = given.some((key) => typeof options[key] === "string");
  let judge: Judge | undefined = inFiles ? undefined : judgeBy(listsOf(entriesOf), softWordThreshold);
  let loading: Promise<Judge> | undefined;
  const load = async (): Promise<Judge> => judgeBy(await readLists(options), softWordThreshold);
  const verdict = (document: Document, by: Judge): Verdict => {
    const reason = by(urlOf(document));
    return reason === undefined ? { keep: true } : { keep: false, reason };
  };
  return filterStep("filter.url", { ...options }, (document) => {
    if (judge) return verdict(document, judge);
    loading ??= load();
    return loading.then((loaded) => {
      judge = loaded;
      return verdict(document, judge);
    });
  });
}

function listsOf(entries: (key: ListKey) => readonly string[]): Lists {
  const set = (key: ListKey): Set<string> => entrySet(entries(key), comparable[key]);
  return {
    blockedDomains: set("blockedDomains"),
    blockedUrls: set("blockedUrls"),
    bannedWords: set("bannedWords"),
    softBannedWords: set("softBannedWords"),
    bannedSubwords: set("bannedSubwords"),
  };
}

async function readLists(options: UrlOptions): Promise<Lists> {
  const read = async (key: ListKey) => [key, await readEntries(options[key] ?? [])] as const;
  const entries = new Map(await Promise.all(listKeys.map(read)));
  return listsOf((key) => entries.get(key)!);
}

function urlOf({ id, metadata }: Document): string {
  const { url } = metadata;
  if (typeof url === "string" && url !== "") return url;
  throw new FormatError(
    `filter.url: document ${id} has ${JSON.stringify(url)} as metadata.url, a URL was needed. Put filter.url behind a reader of web pages`,
  );
}

/** The reason to drop a URL, if there is one. */
type Judge = (url: string) => string | undefined;

function judgeBy(lists: Lists, softWordThreshold: number): Judge {
  const hasSubword = subwordSearch(lists.bannedSubwords);
  return (url) => {
    const { domain, hostname } = parse(url);
    if (domain !== null && lists.blockedDomains.has(domain)) return "domain";
    if (hostname !== null && lists.blockedDomains.has(hostname)) return "subdomain";
    if (lists.blockedUrls.has(url)) return "url";
    const words = new Set(url.toLowerCase().split(/[^a-z0-9]+/));
    let soft = 0;
    for (const word of words) {
      if (lists.bannedWords.has(word)) return "hard_blacklisted";
      if (lists.softBannedWords.has(word)) soft++;
    }
    if (soft >= softWordThreshold) return "soft_blacklisted";
    return hasSubword(lettersAndDigits(url)) ? "blacklisted_subword" : undefined;
  };
}
