import type { Document } from "./document.ts";

/** A document as datatrove writes it: text, id, metadata, and a line feed. Whole numbers of 64 bits become text. */
export const documentLine = ({ text, id, metadata }: Document): string =>
  `${JSON.stringify({ text, id, metadata }, bigintAsText)}\n`;

export const bigintAsText = (_: string, value: unknown): unknown =>
  typeof value === "bigint" ? String(value) : value;
