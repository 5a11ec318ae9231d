import { type BucketsTask, findPairs } from "./buckets.ts";
import { type ClustersTask, findClusters } from "./clusters.ts";
import { type FilterTask, filterFile } from "./filter.ts";
import { type SignaturesTask, signFile } from "./signatures.ts";

export type MinhashTask = SignaturesTask | BucketsTask | ClustersTask | FilterTask;

/** One task of a stage, in whatever thread: what it writes is all that tasks know of one another. */
export function runTask(task: MinhashTask): Promise<void> {
  switch (task.stage) {
    case "signatures":
      return signFile(task);
    case "buckets":
      return findPairs(task);
    case "clusters":
      return findClusters(task);
    case "filter":
      return filterFile(task);
  }
}
