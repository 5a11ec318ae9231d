export { filterStep as filter } from "../step.ts";
export { module } from "./module.ts";
