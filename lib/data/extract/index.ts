export { type MainTextOptions, mainText } from "./main_text.ts";
