import { expect, test } from "vitest";
import { ConfigError } from "../../lib/core/errors.ts";
import { renderChat } from "../../lib/text/chat.ts";
import { chatTemplate, chatTokenizer } from "../support/golden_tokenizer.ts";

const messages = [
  { role: "system", content: "Be brief." },
  { role: "user", content: "Rain?" },
  { role: "assistant", content: "Yes." },
  { role: "user", content: "And now?" },
  { role: "assistant", content: "No.\nSun." },
];

test("assistant tokens are the content and the end of turn, without header and line break", async () => {
  const tok = await chatTokenizer();
  const { ids, assistant } = renderChat(tok, messages);
  expect(ids).toEqual(tok.applyChatTemplate(messages));
  expect(assistant.length).toBe(ids.length);
  const marked = ids.filter((_, i) => assistant[i]);
  expect(tok.decode(marked, { skipSpecialTokens: false })).toBe("Yes.<|eot_id|>No.\nSun.<|eot_id|>");
  const first = assistant.indexOf(true);
  expect(ids.slice(0, first)).toEqual(
    tok.applyChatTemplate(messages.slice(0, 2), { addGenerationPrompt: true }),
  );
});

test("no assistant turn, no marked token; a template without an end-of-turn token marks the whole turn", async () => {
  const tok = await chatTokenizer();
  expect(renderChat(tok, messages.slice(0, 2)).assistant).not.toContain(true);
  const plain = await chatTokenizer(chatTemplate.replace("<|eot_id|>", ""));
  const { ids, assistant } = renderChat(plain, messages.slice(1, 3));
  expect(plain.decode(ids.filter((_, i) => assistant[i]))).toBe("Yes.\n");
});

test("a template that rewrites earlier turns is refused, and says where", async () => {
  const tok = await chatTokenizer(
    "{% for m in messages %}{{ m.role + ': ' + (m.content if loop.last else '(cut)') + '<|eot_id|>' }}{% endfor %}",
  );
  expect(() => renderChat(tok, messages)).toThrow(ConfigError);
  expect(() => renderChat(tok, messages)).toThrow(
    /the first 2 of 5 messages with a generation prompt render to other tokens .* from token \d+ on \("Rain.*, not "\(cut\)/,
  );
});

test("a prompt whose last token would merge with the answer is refused", async () => {
  const tok = await chatTokenizer(
    "{% for m in messages %}{{ m.role + '\\n' + m.content }}{% endfor %}{% if add_generation_prompt %}assistant\\n{% endif %}",
  );
  const chat = [
    { role: "user", content: "Hi" },
    { role: "assistant", content: "\n\nYes" },
  ];
  expect(() => renderChat(tok, chat)).toThrow("render to other tokens");
});
