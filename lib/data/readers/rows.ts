import { isObject } from "../../io/json.ts";
import type { Document } from "../document.ts";

/** Where a row keeps what: datatrove's `text_key` and `id_key`. */
export interface RowKeys {
  /** Field with the text. Default "text". */
  readonly textKey?: string | undefined;
  /** Field with the id. Default "id"; rows without it are called by file and number. */
  readonly idKey?: string | undefined;
}

/**
 * A row as a document, as datatrove makes it: fields other than text and id are metadata, beside what stands in a field
 * `metadata` (an object, or its JSON as text). Undefined for a row without a text, or with an empty one.
 */
export function rowDocument(
  row: Readonly<Record<string, unknown>>,
  { textKey = "text", idKey = "id" }: RowKeys,
  fallbackId: string,
): Document | undefined {
  const { [textKey]: text, [idKey]: id, metadata, ...rest } = row;
  if (typeof text !== "string" || text === "") return undefined;
  const own = typeof metadata === "string" ? objectIn(metadata) : metadata;
  return {
    id: id === undefined || id === null ? fallbackId : String(id),
    text,
    metadata: isObject(own) ? { ...own, ...rest } : metadata === undefined ? rest : { metadata, ...rest },
  };
}

function objectIn(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
