// What experts are chosen for (Jiang et al. 2024, §5): do neighbouring tokens share experts, and does each kind of text have
// experts of its own? On models trained on all kinds together, and on the model that ships, which knows glosses alone.
import {
  type Device,
  exampleModelDir,
  loadModel,
  loadTokenizer,
  type Model,
  type TokenBatch,
  type Tokenizer,
} from "../../../lib/index.ts";
import { choicesOf, type LayerChoices, loadOf } from "./choices.ts";
import { type DomainName, heldOutBatches, type Language, openLanguage } from "./language.ts";
import { chanceRepeats, neighbours, type Repeats, repeatsOf } from "./repeats.ts";
import { type Sizes, trainOn } from "./training.ts";

export interface RoutingOptions extends Sizes {
  seeds: number;
  auxLossCoef: number;
  domains: readonly DomainName[];
  /** Of each kind of text, to look at. */
  heldOutTokens: number;
}

/** What the choices of one layer for one kind of text look like. */
export interface Layer {
  repeats: Repeats;
  chance: Repeats;
  /** Share of all choices, and of the first ones, by expert. */
  load: number[];
  firstLoad: number[];
  /** Of the tokens that are white space alone, the same for the first choices; undefined for fewer than 50 of them. */
  spaceLoad: number[] | undefined;
}

/** By kind of text, [layers] each. */
export type Looked = Record<string, Layer[]>;

export interface RoutingStudy {
  options: RoutingOptions;
  experts: number;
  /** By seed. */
  trained: Looked[];
  shipped: Looked;
  shippedExperts: number;
}

const kLeastSpaces = 50;

export async function routingStudy(
  device: Device,
  options: RoutingOptions,
  progress: (line: string) => void = () => undefined,
): Promise<RoutingStudy> {
  const language = await openLanguage(options.domains, options.vocabSize);
  const trained: Looked[] = [];
  for (let seed = 1; seed <= options.seeds; seed++) {
    const { model } = await trainOn(device, language, {
      sizes: options,
      sparse: true,
      balance: { auxLossCoef: options.auxLossCoef },
      weights: options.domains.map(() => 1),
      seed,
    });
    trained.push(await lookAt(model, language.tokenizer, language, options.heldOutTokens));
    model.dispose();
    progress(`seed ${seed} of ${options.seeds}: trained and looked at`);
  }
  const ready = await loadModel(exampleModelDir, { device });
  const tokenizer = await loadTokenizer(exampleModelDir);
  const shipped = await lookAt(ready, tokenizer, language, options.heldOutTokens);
  const shippedExperts = ready.config.numExperts;
  ready.dispose();
  return { options, experts: options.experts, trained, shipped, shippedExperts };
}

async function lookAt(
  model: Model,
  tokenizer: Tokenizer,
  { domains }: Language,
  tokens: number,
): Promise<Looked> {
  const looked: Looked = {};
  for (const { name, heldOut } of domains) {
    const { batches } = await heldOutBatches(tokenizer, [heldOut], [tokens]);
    looked[name] = layersOf(await choicesOf(model, batches), batches, tokenizer, model.config.numExperts);
  }
  return looked;
}

function layersOf(
  choices: readonly LayerChoices[],
  batches: readonly TokenBatch[],
  tokenizer: Tokenizer,
  E: number,
): Layer[] {
  const pairs = neighbours(batches);
  const ids = batches.flatMap(({ tokens }) => [...tokens]);
  const space = new Map([...new Set(ids)].map((id) => [id, /^\s+$/.test(tokenizer.decode([id]))]));
  return choices.map((layer) => {
    const first = layer.experts.filter((_, i) => i % layer.K === 0);
    const spaces = first.filter((_, t) => space.get(ids[t]!)!);
    return {
      repeats: repeatsOf(layer, pairs),
      chance: chanceRepeats(layer, pairs),
      load: loadOf(layer, E),
      firstLoad: loadOf({ experts: first }, E),
      spaceLoad: spaces.length < kLeastSpaces ? undefined : loadOf({ experts: spaces }, E),
    };
  });
}
