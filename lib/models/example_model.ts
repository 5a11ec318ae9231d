import { fileURLToPath } from "node:url";

/**
 * Folder of the small model that comes with the package: a mixtral of 0.8 million parameters, 4 layers of 8 experts, that
 * learned WordNet's glosses (scripts/train_dictionary.ts). It defines words, not always rightly.
 */
export const exampleModelDir = fileURLToPath(new URL("../../models/dictionary", import.meta.url));
