import { entry } from "../paper.js";

export const paperDigest = entry({
  id: "paper-digest",
  title: "The catalogue itself, searchable, with an e-mail digest of new results",
  year: 2026,
  kind: "application",
  summary:
    "This catalogue as a page of its own: search by keyword and by meaning over all entries, offline, and an " +
    "e-mail digest, off unless a team switches it on, that says which reproduction results are new or have " +
    "changed.",
  state: "planned",
});
