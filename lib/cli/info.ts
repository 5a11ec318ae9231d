import { z } from "zod";
import { type AdapterDescription, describeAdapter, describeModel, type ModelDescription } from "../index.ts";
import { type FolderFile, filesOf } from "../models/describe.ts";
import { command, filePath, jsonOption } from "./options.ts";
import { printJson, printTable, shortBytes, shortCount } from "./output.ts";

export default command({
  argument: "folder",
  options: z.strictObject({ folder: filePath().describe("model or adapter folder"), ...jsonOption }),
  run: async ({ folder, json }) => {
    const isAdapter = (await filesOf(folder)).some(({ name }) => name === "adapter_config.json");
    const described = isAdapter ? await describeAdapter(folder) : await describeModel(folder);
    if (json) printJson(described);
    else printTable("kind" in described ? adapterRows(described) : modelRows(described));
  },
});

type Rows = [string, string | number | undefined][];

function modelRows(m: ModelDescription): Rows {
  const { total, active } = m.parameters;
  return [
    ["type", m.modelType],
    [
      "parameters",
      `${shortCount(total)} (${total})${active < total ? `, ${shortCount(active)} active a token` : ""}`,
    ],
    ["layers", `${m.layers} of width ${m.hiddenSize}`],
    ["experts", m.experts && `${m.experts.count} of width ${m.experts.width}, ${m.experts.perToken} a token`],
    ["vocabulary", m.vocabSize],
    ["context", `${m.contextLength} tokens`],
    ["weights", m.dtypes.join(", ") || "none: pretrain starts them at random"],
    ...fileRows(m.files),
  ];
}

const adapterRows = (a: AdapterDescription): Rows => [
  ["type", a.kind + (a.rslora ? " (rank-stabilized)" : "")],
  ["rank", `${a.rank}, alpha ${a.alpha}`],
  ["targets", typeof a.targets === "string" ? a.targets : a.targets.join(", ")],
  ["base model", a.baseModel],
  ["parameters", `${shortCount(a.parameters)} (${a.parameters})`],
  ["weights", a.dtypes.join(", ")],
  ...fileRows(a.files),
];

const fileRows = (files: readonly FolderFile[]): Rows =>
  files.map(({ name, bytes }, i) => [i === 0 ? "files" : "", `${name}  ${shortBytes(bytes)}`]);
