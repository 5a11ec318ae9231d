import { sourcesIn } from "./sources.ts";

/** Who may include whom in native/ (house.md §2), by folder; the folder itself is always allowed. */
const mayInclude: Record<string, readonly string[]> = {
  core: [],
  cpu: ["core"],
  cuda: ["core"],
  ops: ["core", "cpu", "cuda"],
  text: ["core", "cpu"],
  binding: ["core", "cpu", "cuda", "ops", "text"],
};

const nodeHeader = /^(napi|node|node_api|js_native_api|node_version|v8|uv)\b.*\.h$/;
const cudaHeader = /^(cuda|cublas|curand|cooperative_groups|cub\/|mma|nccl)/;

/** Includes that go where they may not, or leave native/'s way of naming headers: "folder/name.h" from native/. */
export function includeFaults(root: string): string[] {
  return sourcesIn(root, "native").flatMap(({ path: file, text }) => {
    const folder = file.split("/")[1]!;
    const ours = mayInclude[folder];
    if (!file.endsWith(".gypi") && ours === undefined)
      return [`${file}: no rule says whom native/${folder} may know`];
    const isCuda = folder === "cuda" || file.endsWith(".cu");
    return [...text.matchAll(/^\s*#\s*include\s+([<"])([^>"]+)[>"]/gm)]
      .filter(([, quote, header]) => {
        const target = header!.split("/")[0]!;
        if (nodeHeader.test(header!)) return folder !== "binding";
        if (cudaHeader.test(header!) && target !== "cuda") return !isCuda;
        if (quote === "<") return false;
        if (target === "cuda" && folder === "ops") return !isCuda;
        if (target === "cpu" && folder === "ops") return isCuda;
        return target !== folder && !ours!.includes(target);
      })
      .map(([, , header]) => `${file} includes ${header}`);
  });
}
