/** The filters of a web-text pipeline: `filter.gopherQuality()`. */
export { type C4Options, c4 } from "./c4.ts";
export { type FinewebOptions, fineweb } from "./fineweb.ts";
export { type GopherQualityOptions, gopherQuality } from "./gopher_quality.ts";
export { type GopherRepetitionOptions, gopherRepetition, type NgramShare } from "./gopher_repetition.ts";
export { type LanguageOptions, language } from "./language.ts";
export type { Preset, RuleOptions } from "./preset.ts";
export { type UrlOptions, url } from "./url.ts";
export type { UrlList } from "./url_lists.ts";
