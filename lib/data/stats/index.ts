export { histograms, readHistograms } from "./histograms.ts";
