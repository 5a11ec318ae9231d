export { type DedupReport, type MinhashOptions, type MinhashRunOptions, minhash } from "./minhash.ts";
