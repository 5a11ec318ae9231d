export { type BloomOptions, bloom } from "./bloom.ts";
export { type DecontaminateOptions, decontaminate } from "./decontaminate.ts";
export { exact, url } from "./exact.ts";
export { type DedupReport, type MinhashOptions, type MinhashRunOptions, minhash } from "./minhash.ts";
export { type SentenceOptions, sentence } from "./sentence.ts";
