import { entry } from "../paper.js";

export const mutualEncoderDecoder = entry({
  id: "mutual-encoder-decoder",
  title: "Rethinking Image Inpainting via a Mutual Encoder-Decoder with Feature Equalizations",
  year: 2020,
  link: "https://arxiv.org/abs/2007.06929",
  kind: "architecture",
  summary:
    "An inpainting network that repairs its skip features before using them: shallow texture and deep structure " +
    "features are filled at several scales, merged, and equalised by channel attention and a bilateral mixing in " +
    "space and similarity.",
  state: "planned",
});
