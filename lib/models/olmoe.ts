import { type Family, projectionNames } from "./family.ts";

/** Muennighoff et al. 2024: many small experts, weights not renormalised, queries and keys normalised over their width. */
export const olmoe: Family = { modelType: "olmoe", moe: projectionNames };
