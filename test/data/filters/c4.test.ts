import { expect, test } from "vitest";
import { c4 } from "../../../lib/data/filters/c4.ts";
import { reasonOf, verdictOf } from "../../support/verdicts.ts";

const five = ["One is here.", "Two is there!", "Where is three?", 'Four is "gone."', "Five has it'"];

const textOf = (text: string, options = {}): string | undefined => {
  const verdict = verdictOf(c4(options), text);
  return verdict.keep ? verdict.text : verdict.reason;
};

test("five sentences are enough, four are too few", () => {
  expect(textOf(five.join("\n"))).toBe(five.join("\n"));
  expect(textOf(five.slice(1).join("\n"))).toBe("too_few_sentences");
  expect(textOf(five.slice(0, 3).join(" "), { minNumSentences: 3 })).toBe(five.slice(0, 3).join(" "));
  expect(textOf("", {})).toBe("too_few_sentences");
});

test.each([
  ["no stop mark", "Read more about it here"],
  ["three dots", "This goes on and on..."],
  ["two words", "Just two."],
  ["javascript", "Please turn on JavaScript to read this."],
  ["a policy", "See our Terms of Use for more."],
  ["cookies", "This site uses cookies to track you."],
  ["a word of 1001 letters", `Here it ${"x".repeat(1001)} is.`],
])("a line is left out: %s", (_, line) => {
  expect(textOf([...five.slice(0, 2), line, ...five.slice(2)].join("\n"))).toBe(five.join("\n"));
});

test.each([
  ["lorem_ipsum", "Here is Lorem Ipsum for you."],
  ["curly_bracket", "if (x) { return it.y; } is code."],
])("a line costs the document: %s", (reason, line) => {
  expect(reasonOf(c4(), [...five, line].join("\n"))).toBe(reason);
});

test("a line that is left out before costs nothing", () => {
  expect(textOf([...five, "function () { lorem ipsum"].join("\n"))).toBe(five.join("\n"));
  expect(textOf([...five, "JavaScript { is here now."].join("\n"))).toBe(five.join("\n"));
});

test("citation marks go, and lines lose the white space at their ends", () => {
  expect(
    textOf(["  One[1] is[edit] here.", ...five.slice(1), "It is[citation needed] so."].join("\r\n")),
  ).toBe([...five, "It is so."].join("\n"));
  expect(textOf(["One[1] is here.", ...five.slice(1)].join("\n"), { removeCitations: false })).toContain(
    "One[1]",
  );
});

test("words are counted before citation marks go, and phrases looked for after", () => {
  expect(textOf([...five, "Two [12] words."].join("\n"))).toBe([...five, "Two  words."].join("\n"));
  expect(textOf([...five, "No java[1]script is here."].join("\n"))).toBe(five.join("\n"));
});

test("each rule can be switched off", () => {
  const text = ["No stop", "a {", "lorem ipsum javascript uses cookies", "x".repeat(1001)].join("\n");
  const off = {
    filterNoTerminalPunct: false,
    minNumSentences: null,
    minWordsPerLine: null,
    maxWordLength: null,
    filterLoremIpsum: false,
    filterJavascript: false,
    filterCurlyBracket: false,
    filterPolicy: false,
  };
  expect(textOf(text, off)).toBe(text);
});

test("sentences instead of lines are joined by spaces", () => {
  const text = `${five.slice(0, 3).join(" ")} Turn on javascript now. Six is\nhere too. Seven is here.`;
  expect(textOf(text, { splitParagraph: false })).toBe(
    `${five.slice(0, 3).join(" ")} Six is\nhere too. Seven is here.`,
  );
});

test("unknown options and a text where true or false was needed are refused", () => {
  expect(() => c4({ filterJavaScript: true } as object)).toThrow(/is it filterJavascript/);
  expect(() => c4({ filterPolicy: "yes" as unknown as boolean })).toThrow(
    /filterPolicy is "yes", a boolean was needed/,
  );
});
