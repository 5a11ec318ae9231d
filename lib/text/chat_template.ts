import { Template } from "@huggingface/jinja";
import { ConfigError } from "../core/errors.ts";

/** One turn of a conversation; what else a template reads (`tool_calls`, `name`, …) may stand beside. */
export interface ChatMessage {
  readonly role: string;
  readonly content?: unknown;
  readonly [key: string]: unknown;
}

export interface ChatTemplateOptions {
  /** Ends the text with what opens the model's own turn. Default false. */
  readonly addGenerationPrompt?: boolean;
  /** JSON schemas of functions the model may call. */
  readonly tools?: readonly unknown[];
  /** Documents for templates that ground answers in them. */
  readonly documents?: readonly unknown[];
}

/** The chat templates of one tokenizer by name ("default", "tool_use", …), Jinja text as Hugging Face writes it. */
export class ChatTemplates {
  private readonly parsed = new Map<string, Template>();

  constructor(
    readonly dir: string,
    readonly sources: ReadonlyMap<string, string>,
    /** Variables that every render sees: bos_token, eos_token, … */
    private readonly variables: Readonly<Record<string, string>>,
  ) {}

  /**
   * Renders a conversation; with tools, by the template "tool_use" if there is one, as transformers does.
   * @throws ConfigError if there is no template, or the template itself raises (roles out of order, say).
   */
  render(messages: readonly ChatMessage[], options: ChatTemplateOptions = {}): string {
    const name = options.tools && this.sources.has("tool_use") ? "tool_use" : "default";
    const template = this.template(name);
    try {
      return template.render({
        ...this.variables,
        messages,
        tools: options.tools ?? null,
        documents: options.documents ?? null,
        add_generation_prompt: options.addGenerationPrompt ?? false,
      });
    } catch (error) {
      const roles = messages.map((message) => message.role).join(", ");
      throw new ConfigError(
        `applyChatTemplate: the template of ${this.dir} says "${(error as Error).message}" (messages: ${roles}).`,
        "messages",
      );
    }
  }

  private template(name: string): Template {
    const source = this.sources.get(name);
    if (source === undefined) {
      const known = [...this.sources.keys()].join(", ");
      const what = known === "" ? "has no chat template" : `has no chat template "${name}", only ${known}`;
      throw new ConfigError(
        `applyChatTemplate: ${this.dir} ${what}. Put one into its tokenizer_config.json ("chat_template") or chat_template.jinja.`,
        "chat_template",
      );
    }
    let template = this.parsed.get(name);
    if (!template) {
      try {
        template = new Template(source);
      } catch (error) {
        const message = `applyChatTemplate: ${this.dir}: the chat template does not parse (${(error as Error).message}).`;
        throw new ConfigError(message, "chat_template");
      }
      this.parsed.set(name, template);
    }
    return template;
  }
}
