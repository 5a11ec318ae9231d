/** Steps that rewrite texts: `format.pii()`. */
export { type PiiOptions, pii } from "./pii.ts";
