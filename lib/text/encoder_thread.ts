import { createRequire } from "node:module";
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from "node:worker_threads";
import { MixwrightError } from "../core/errors.ts";

/**
 * The `tokenizers` package encodes only by promise, and `tok.encode(text)` returns ids at once: so one thread per
 * process awaits the promise, while the caller sleeps on a shared counter. About 0.1 ms a call.
 * Its source is text, not a file: Node 20 could not load a .ts file there, and nothing of ours is imported.
 */
const kThreadSource = `
  const { workerData } = require("node:worker_threads");
  const { Tokenizer } = require(workerData.tokenizers);
  const loaded = new Map();
  workerData.port.on("message", async ({ key, json, text, addSpecialTokens }) => {
    let reply;
    try {
      if (json !== undefined) {
        const tokenizer = Tokenizer.fromString(json);
        tokenizer.disableTruncation();
        tokenizer.disablePadding();
        loaded.set(key, tokenizer);
      }
      const encoding = await loaded.get(key).encode(text, null, { addSpecialTokens });
      reply = { ids: Int32Array.from(encoding.getIds()) };
    } catch (error) {
      reply = { error: String(error?.message ?? error) };
    }
    workerData.port.postMessage(reply);
    Atomics.add(workerData.answered, 0, 1);
    Atomics.notify(workerData.answered, 0);
  });
`;
const kPatienceMs = 600_000;

let thread: { port: MessagePort; answered: Int32Array } | undefined;
let keys = 0;

/** Encodes text with one tokenizer.json, synchronously, on the process's encoder thread. */
export class Encoder {
  private readonly key = keys++;
  private sent = false;

  /** `json` is the content of tokenizer.json; the thread parses it at the first `encode`. */
  constructor(private readonly json: string) {}

  encode(text: string, addSpecialTokens: boolean): number[] {
    thread ??= startThread();
    const seen = Atomics.load(thread.answered, 0);
    const json = this.sent ? undefined : this.json;
    thread.port.postMessage({ key: this.key, json, text, addSpecialTokens });
    while (Atomics.load(thread.answered, 0) === seen) {
      // Node also wakes waiters for nothing now and then, so only the counter counts.
      if (Atomics.wait(thread.answered, 0, seen, kPatienceMs) !== "timed-out") continue;
      throw new MixwrightError(
        `encode: no answer from the tokenizer for ${text.length} characters in 10 minutes.`,
      );
    }
    const reply = receiveMessageOnPort(thread.port)!.message as { ids?: Int32Array; error?: string };
    if (!reply.ids) throw new MixwrightError(`encode: ${reply.error}.`);
    this.sent = true;
    return Array.from(reply.ids);
  }
}

function startThread() {
  const { port1: port, port2 } = new MessageChannel();
  const answered = new Int32Array(new SharedArrayBuffer(4));
  const tokenizers = createRequire(import.meta.url).resolve("tokenizers");
  new Worker(kThreadSource, {
    eval: true,
    execArgv: [],
    workerData: { tokenizers, answered, port: port2 },
    transferList: [port2],
  }).unref();
  port.unref();
  return { port, answered };
}
