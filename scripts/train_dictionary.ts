// Trains the small model that the package ships: `npx tsx scripts/train_dictionary.ts OUT`. A sparse mixture of
// experts that learns WordNet's glosses, first as text, then as answers in a conversation.
import { rm } from "node:fs/promises";
import path from "node:path";
import { glosses } from "../lib/cli/quickstart/texts.ts";
import {
  adamw,
  chain,
  clipByGlobalNorm,
  createModel,
  device,
  evaluateLoss,
  generate,
  loadModel,
  loadTokenizer,
  packedBatches,
  pretrain,
  type StepMetrics,
  saveModel,
  schedule,
  sequentialBatches,
  tokenizeDocuments,
  trainSft,
} from "../lib/index.ts";
import { trainTokenizer } from "../lib/text/train_tokenizer.ts";

const [, , out] = process.argv;
if (out === undefined) throw new Error("usage: tsx scripts/train_dictionary.ts OUT");

const chatTemplate =
  "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}" +
  "{% if message['role'] == 'assistant' %}<|endoftext|>{% endif %}{% endfor %}" +
  "{% if add_generation_prompt %}<|assistant|>{% endif %}";
const specialTokens = ["<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>"];
const batchTokens = 4096;
const maxLength = 256;

const texts = await glosses();
const work = path.resolve(`${out}.work`);
await trainTokenizer(texts, work, { vocabSize: 1024, specialTokens, chatTemplate });
const tokenizer = await loadTokenizer(work);
const dev = await device("cpu");
const model = createModel(
  {
    model_type: "mixtral",
    vocab_size: 1024,
    hidden_size: 96,
    intermediate_size: 64,
    num_hidden_layers: 4,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    num_local_experts: 8,
    num_experts_per_tok: 2,
    max_position_embeddings: 512,
    rope_theta: 10000,
    tie_word_embeddings: true,
    bos_token_id: null,
    eos_token_id: 0,
  },
  { device: dev, seed: 1 },
);
console.log(
  Object.values(model.params).reduce((n, t) => n + t.size, 0),
  "parameters",
);

const isHeldOut = (i: number): boolean => i % 1000 === 0;
const train = texts.filter((_, i) => !isHeldOut(i));
const corpus = await tokenizeDocuments(tokenizer, train);
const validation = await sequentialBatches(
  await tokenizeDocuments(
    tokenizer,
    texts.filter((_, i) => isHeldOut(i)),
  ),
  { batchTokens, maxLength },
);
const optimizer = (peak: number, steps: number) =>
  chain(
    clipByGlobalNorm(1),
    adamw({
      lr: schedule.warmupCosine({ peak, min: peak / 20, warmupSteps: 50, totalSteps: steps }),
      betas: [0.9, 0.95],
      weightDecay: 0.1,
      decay: (_, shape) => shape.length > 1,
    }),
  );

const steps = 2000;
const chatSteps = 800;

await follow(
  pretrain({
    model,
    data: packedBatches(corpus, { batchTokens, maxLength, seed: 1 }),
    optimizer: optimizer(4e-3, steps),
    steps,
    auxLossCoef: 0.01,
    validation: { every: 500, sets: { glosses: validation } },
  }),
);
const questions = ["What is WORD?", "Define WORD.", "What does WORD mean?", "WORD"];
const rows = train.map((text, i) => {
  const at = text.indexOf(": ");
  const question = questions[(i * 7) % questions.length]!.replace("WORD", text.slice(0, at));
  return {
    messages: [
      { role: "user" as const, content: question },
      { role: "assistant" as const, content: text.slice(at + 2) },
    ],
  };
});
await follow(
  trainSft({
    model,
    params: model.params,
    tokenizer,
    data: rows,
    optimizer: optimizer(2e-3, chatSteps),
    steps: chatSteps,
    batchTokens,
    maxLength,
    auxLossCoef: 0.01,
  }),
);
console.log("loss on held-out glosses:", await evaluateLoss(model, validation));

// Saved as bf16: half the size.
const wide = path.join(work, "f32");
await saveModel(model, wide, { tokenizerFrom: work });
const small = await loadModel(wide, { device: dev, dtype: "bf16" });
small.origin = undefined;
await saveModel(small, path.resolve(out), { tokenizerFrom: work });
console.log("loss in bf16:", await evaluateLoss(small, validation));
for (const question of ["What is a dog?", "Define to sing.", "happiness", "What is winter?"]) {
  let answer = "";
  const messages = [{ role: "user" as const, content: question }];
  for await (const { text } of generate(small, tokenizer, { messages, temperature: 0, maxNewTokens: 60 }))
    answer += text;
  console.log(`${question} → ${answer}`);
}
await rm(work, { recursive: true });
dev.close();

async function follow(run: AsyncIterable<StepMetrics>): Promise<void> {
  for await (const m of run) {
    if (m.step % 100 === 0)
      console.log(
        `${m.step} loss ${m.loss.toFixed(4)} ${m.validation ? `held out ${m.validation.glosses!.toFixed(4)}` : ""}`,
      );
  }
}
