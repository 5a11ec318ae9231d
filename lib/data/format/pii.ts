import { ConfigError } from "../../core/errors.ts";
import { refuseUnknown } from "../../core/options.ts";
import type { Document, Verdict } from "../document.ts";
import { type Filter, filterStep } from "../step.ts";
import { replaceAddresses } from "./addresses.ts";
import { replaceEmails } from "./emails.ts";

export interface PiiOptions {
  /** Default true. */
  removeEmails?: boolean;
  /** Default true. */
  removeIps?: boolean;
  /** False: private addresses too, such as 10.0.0.1. Default true. */
  onlyRemovePublicIps?: boolean;
  /** Taken in turns. Default: email@example.com, firstname.lastname@example.org. */
  emailReplacement?: readonly string[];
  /** Taken in turns. Default: six addresses that nobody answered at when datatrove chose them. */
  ipReplacement?: readonly string[];
}

const defaults = {
  removeEmails: true,
  removeIps: true,
  onlyRemovePublicIps: true,
  emailReplacement: ["email@example.com", "firstname.lastname@example.org"] as readonly string[],
  ipReplacement: [
    "22.214.171.124",
    "126.96.36.199",
    "188.8.131.52",
    "184.108.40.206",
    "220.127.116.11",
    "18.104.22.168",
  ] as readonly string[],
};

/**
 * Puts other e-mail addresses and public IPv4 addresses in the place of those in the text, as datatrove's PII formatter does.
 * Replacements go on in turns from document to document of a task, and begin again with the next task. Drops nothing.
 */
export function pii(options: PiiOptions = {}): Filter {
  refuseUnknown("format.pii", options, Object.keys(defaults));
  const settings = { ...defaults, ...options };
  for (const [key, standard] of Object.entries(defaults)) {
    const value: unknown = settings[key as keyof typeof defaults];
    const fits = Array.isArray(standard)
      ? Array.isArray(value) && value.length > 0 && value.every((text) => typeof text === "string")
      : typeof value === "boolean";
    if (fits) continue;
    const needed = Array.isArray(standard) ? "a list of at least one text" : "true or false";
    throw new ConfigError(`format.pii: ${key} is ${JSON.stringify(value)}, ${needed} was needed`, key);
  }
  const fresh = (): Filter => filterStep("format.pii", { ...options }, replacer(settings));
  return { ...fresh(), run: (documents, context) => fresh().run(documents, context) };
}

function replacer(settings: typeof defaults): (document: Document) => Verdict {
  const nextEmail = inTurns(settings.emailReplacement);
  const nextIp = inTurns(settings.ipReplacement);
  return ({ text }) => {
    const named = settings.removeEmails ? replaceEmails(text, nextEmail) : text;
    return {
      keep: true,
      text: settings.removeIps ? replaceAddresses(named, settings.onlyRemovePublicIps, nextIp) : named,
    };
  };
}

function inTurns(texts: readonly string[]): () => string {
  let turn = 0;
  return () => texts[turn++ % texts.length]!;
}
