import { FormatError } from "../../core/errors.ts";
import { refuseUnknown } from "../../core/options.ts";
import type { Document } from "../document.ts";
import type { Step } from "../step.ts";
import { textKernels } from "./characters.ts";
import { globalStep } from "./global_step.ts";
import { HashSet64 } from "./hash_set.ts";

/** Keeps the first document of each key. Keys are 64-bit hashes: of n documents about n²/2^65 are taken for another. */
function firstOf(step: string, reason: string, keyOf: (document: Document) => string): Step {
  return globalStep(step, {}, () => {
    const seen = new HashSet64();
    const kernels = textKernels();
    return (document) => {
      const hash = kernels.hash(keyOf(document), "xxhash", 64);
      const isNew = seen.add(Number(hash & 0xffffffffn), Number(hash >> 32n));
      return isNew ? { text: document.text } : { reason };
    };
  });
}

/** Keeps the first of documents with the same text, to the character. 16 to 32 bytes of memory a document; one task. */
export function exact(options: Record<string, never> = {}): Step {
  refuseUnknown("dedup.exact", options, []);
  return firstOf("dedup.exact", "same text", ({ text }) => text);
}

/**
 * Keeps the first document of each `metadata.url`, to the character. 16 to 32 bytes of memory a document; one task.
 * The step throws FormatError for a document without one.
 */
export function url(options: Record<string, never> = {}): Step {
  refuseUnknown("dedup.url", options, []);
  return firstOf("dedup.url", "same url", ({ id, metadata }) => {
    if (typeof metadata.url === "string") return metadata.url;
    throw new FormatError(
      `dedup.url: document ${id} has ${JSON.stringify(metadata.url)} as metadata.url, a URL was needed. Put dedup.url behind a reader of web pages`,
    );
  });
}
