// The claims of Jiang et al. 2024, §5, beside what routing.ts saw.
import { type Finding, halfInterval, markdownTable, mean, meanText } from "../findings.ts";
import { barChart, heatMap } from "../plot.ts";
import type { Repeats } from "./repeats.ts";
import { evenChance } from "./repeats.ts";
import type { Layer, Looked, RoutingStudy } from "./routing.ts";

/** The layers of a model from `first` on. */
const laterLayers = (looked: Looked, first = 1): number[] =>
  Object.values(looked)[0]!.flatMap((_, layer) => (layer < first ? [] : [layer]));
const percent = (values: readonly number[]): string =>
  `${meanText(
    values.map((x) => 100 * x),
    1,
  )} %`;

/** Mean over kinds of text of a number of one layer. */
const over = (looked: Looked, layer: number, of: (layer: Layer) => number): number =>
  mean(Object.values(looked).map((layers) => of(layers[layer]!)));

const excess =
  (which: keyof Repeats) =>
  ({ repeats, chance }: Layer): number =>
    repeats[which] - chance[which];

/** Half the sum of |a − b|: the share of the load that would have to move. */
export const distance = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, x, e) => sum + Math.abs(x - b[e]!), 0) / 2;

/** How far two kinds of text are apart in their experts, mean over layers. */
export const apart = (looked: Looked, a: string, b: string): number =>
  mean(looked[a]!.map(({ load }, layer) => distance(load, looked[b]![layer]!.load)));

/** Repeats by layer and kind of text, as in the paper's table 5; chance is of the same choices in random order. */
export function repeatsTable({ trained, shipped, experts }: RoutingStudy): string {
  const even = evenChance(experts);
  const cell = (models: readonly Looked[], name: string, layer: number, which: keyof Repeats): string => {
    const of = models.map((looked) => looked[name]![layer]!);
    const chance = 100 * mean(of.map((one) => one.chance[which]));
    return `${percent(of.map(({ repeats }) => repeats[which]))} (${chance.toFixed(1)})`;
  };
  const table = (title: string, models: readonly Looked[]): string => {
    const layers = laterLayers(models[0]!, 0);
    return markdownTable(
      [
        title,
        ...["first choice", "first or second"].flatMap((what) => layers.map((l) => `${what}, layer ${l}`)),
      ],
      Object.keys(models[0]!).map((name) => [
        name,
        ...(["first", "either"] as const).flatMap((which) => layers.map((l) => cell(models, name, l, which))),
      ]),
    );
  };
  const note =
    "Share of consecutive tokens with the same expert; in brackets of the same choices in random order. Evenly loaded experts, at random: " +
    `${(100 * even.first).toFixed(1)} and ${(100 * even.either).toFixed(1)} %.`;
  return [note, table("trained on all", trained), table("shipped", [shipped])].join("\n\n");
}

export function routingFindings(study: RoutingStudy): Finding[] {
  return [...repeatFindings(study), ...loadFindings(study), ...spaceFindings(study)];
}

/** Yes if the 95 % interval of the mean lies above 0; in part if the mean does. */
const above = (values: readonly number[]): Finding["holds"] => {
  if (mean(values) - halfInterval(values) > 0) return "yes";
  return mean(values) > 0 ? "in part" : "no";
};

function repeatFindings({ trained, shipped }: RoutingStudy): Finding[] {
  const ofLayer = (looked: Looked, layer: number, which: keyof Repeats): number =>
    over(looked, layer, excess(which));
  const ofLater = (looked: Looked, which: keyof Repeats): number =>
    mean(laterLayers(looked).map((layer) => ofLayer(looked, layer, which)));
  const shipText = (x: number): string => `; shipped model ${(100 * x).toFixed(1)}`;
  const low = trained.map((looked) => ofLayer(looked, 0, "first"));
  const kNear = 0.03;
  return [
    {
      claim:
        "in the first layer consecutive tokens share their first expert about as often as by chance (within 3 points)",
      paper: "14.0 % (chance 12.5)",
      ours: `above chance by ${percent(low)}${shipText(ofLayer(shipped, 0, "first"))}`,
      holds:
        mean(low) + (halfInterval(low) || 0) < kNear
          ? "yes"
          : mean(low) - (halfInterval(low) || 0) < kNear
            ? "in part"
            : "no",
    },
    ...(["first", "either"] as const).flatMap((which): Finding[] => {
      const values = trained.map((looked) => ofLater(looked, which));
      const growth = trained.map((looked) => ofLater(looked, which) - ofLayer(looked, 0, which));
      const name = which === "first" ? "first choice" : "first or second choice";
      return [
        {
          claim: `in higher layers more often than by chance; ${name}`,
          paper: which === "first" ? "27.9 %, 22.7 % (chance 12.5)" : "62.3 %, 52.9 % (chance 46.4)",
          ours: `above chance by ${percent(values)}${shipText(ofLater(shipped, which))}`,
          holds: above(values),
        },
        {
          claim: `more than in the first layer; ${name}`,
          paper: which === "first" ? "14.0 → 27.9 %" : "46.5 → 62.3 %",
          ours: `by ${percent(growth)}${shipText(ofLater(shipped, which) - ofLayer(shipped, 0, which))}`,
          holds: above(growth),
        },
      ];
    }),
  ];
}

/** Prose that shares a language, where both are there. */
const kProse = ["glosses", "handbook en"] as const;
const kCode = "declarations";

function loadFindings({ trained, options }: RoutingStudy): Finding[] {
  const has = (name: string): boolean => (options.domains as readonly string[]).includes(name);
  const between = (a: string, b: string): number[] => trained.map((looked) => apart(looked, a, b));
  const findings: Finding[] = [];
  const [a, b] = kProse;
  const prose = has(a) && has(b) ? between(a, b) : undefined;
  if (prose) {
    findings.push({
      claim: "two kinds of English prose have the same experts (a tenth of the load differs, or less)",
      paper: "ArXiv, PubMed, PhilPapers: loads very similar; no figure",
      ours: `${percent(prose)} of the load differs`,
      holds:
        mean(prose) + (halfInterval(prose) || 0) <= 0.1
          ? "yes"
          : mean(prose) - (halfInterval(prose) || 0) <= 0.1
            ? "in part"
            : "no",
    });
  }
  const foreign = has(b) && has("handbook de") ? between(b, "handbook de") : undefined;
  const code = between(kCode, a);
  const most = trained.map((looked) =>
    Math.max(...Object.values(looked).flatMap((layers) => layers.flatMap(({ load }) => Math.max(...load)))),
  );
  findings.push({
    claim: "no expert belongs to one kind of text: in none does it take half of the choices it could have",
    paper: "highest about 0.2 of the choices; figure 7",
    ours: `highest share ${percent(most)} of the choices (an expert can have ${(100 / options.topK).toFixed(0)} %)`,
    holds:
      mean(most) + (halfInterval(most) || 0) < 0.5 / options.topK
        ? "yes"
        : mean(most) < 0.5 / options.topK
          ? "in part"
          : "no",
  });
  if (prose) {
    const more = code.map((of, i) => of - prose[i]!);
    findings.push({
      claim: "code differs from prose more than prose from prose",
      paper: "DM Mathematics and Github differ, marginally; figure 7",
      ours: `${percent(code)} of the load differs, by ${percent(more)} more`,
      holds: above(more),
    });
  }
  if (foreign && prose) {
    findings.push({
      claim: "another language, same book: differs more than two kinds of text of one language",
      paper: "(not in the paper)",
      ours: `${percent(foreign)} of the load differs, by ${percent(foreign.map((of, i) => of - prose[i]!))} more`,
      holds: above(foreign.map((of, i) => of - prose[i]!)),
    });
  }
  return findings;
}

/** Of white space in code and of all tokens of code: share of the commonest first expert. */
function spaceFindings({ trained }: RoutingStudy): Finding[] {
  const gain = (looked: Looked, layer: number): number => {
    const { spaceLoad, firstLoad } = looked[kCode]![layer]!;
    return spaceLoad === undefined ? Number.NaN : Math.max(...spaceLoad) - Math.max(...firstLoad);
  };
  return [0, laterLayers(trained[0]!).at(-1)!].map((layer) => {
    const values = trained.map((looked) => gain(looked, layer));
    const share = trained.map((looked) => Math.max(...(looked[kCode]![layer]!.spaceLoad ?? [Number.NaN])));
    return {
      claim: `white space in code goes to the same expert more than code does, ${layer === 0 ? "first" : "last"} layer`,
      paper: "figure 8: indentation always to the same, first and last layers",
      ours: `${percent(share)} to one expert, ${percent(values)} more than of all tokens of code`,
      holds: above(values),
    };
  });
}

export function repeatsPlot({ trained, options }: RoutingStudy): string {
  const names = options.domains;
  return barChart({
    title: `Consecutive tokens with the same first expert, above chance, ${options.seeds} seeds`,
    yLabel: "share, mean and 95 % interval",
    groups: Array.from({ length: options.layers }, (_, l) => `layer ${l}`),
    series: names.map((name) => ({
      name,
      values: Array.from({ length: options.layers }, (_, l) =>
        trained.map((looked) => excess("first")(looked[name]![l]!)),
      ),
    })),
  });
}

/** Loads of one model by layer and kind of text. */
export function domainLoadsPlot(title: string, looked: Looked, experts: number): string {
  const layers = laterLayers(looked, 0);
  return heatMap({
    title,
    columns: Array.from({ length: experts }, (_, e) => String(e)),
    columnLabel: "expert",
    rows: layers.flatMap((l) =>
      Object.entries(looked).map(([name, of]) => ({ name: `layer ${l}, ${name}`, values: of[l]!.load })),
    ),
    balanced: 1 / experts,
  });
}
