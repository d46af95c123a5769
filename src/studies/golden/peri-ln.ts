export { kinds } from "./placements.js";
