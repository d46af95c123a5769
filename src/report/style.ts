import { colorMapCss } from "./color-map.js";
import { paletteCss } from "./palette.js";

const light = `--page:#ffffff;--soft:#f6f7f9;--ink:#151a22;--ink-2:#565e6c;--line:#dfe3e8;--grid:#e8ebef;--missing:#c9ced6;--link:#2a4fd0;--good:#0b6b45;--good-bg:#e2f4ea;--bad:#a3260d;--bad-bg:#fdeae5;--open:#6b5300;--open-bg:#fbf2d5;${paletteCss("light")};${colorMapCss("light")}`;
const dark = `--page:#14171c;--soft:#1c2027;--ink:#e9ebef;--ink-2:#a0a8b5;--line:#323843;--grid:#2a2f38;--missing:#4a515c;--link:#8fb0ff;--good:#7fe0b2;--good-bg:#153527;--bad:#ffab96;--bad-bg:#43201a;--open:#f0d588;--open-bg:#3a3115;${paletteCss("dark")};${colorMapCss("dark")}`;

/** The custom properties of both modes, for pages with a style sheet of their own. */
export const colors = { light, dark };

/** The stack of layers at the top of every page: the colour map in twelve steps. */
export const stripes = Array.from(
  { length: 12 },
  (_, i) => `var(--heat-${i * 2 + 1}) ${stop(i)} ${stop(i + 1)}`,
).join();

function stop(i: number): string {
  return `${Number(((100 * i) / 12).toFixed(2))}%`;
}

/** The one style sheet of a report: system fonts, two modes, a phone, a printer. */
export const styleSheet = `
:root{${light};color-scheme:light dark}
@media (prefers-color-scheme:dark){:root{${dark}}}
@media print{:root{${light};color-scheme:light}}
*{box-sizing:border-box}
body::before{content:"";display:block;height:6px;background:linear-gradient(90deg,${stripes});print-color-adjust:exact;-webkit-print-color-adjust:exact}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;overflow-wrap:break-word;background:var(--page);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
.hero,main,footer{max-width:1104px;margin:0 auto;padding:0 32px}
.hero{padding-top:56px}
.eyebrow{margin:0;font-size:13px;letter-spacing:.06em;color:var(--ink-2)}
h1{margin:6px 0 14px;font-size:44px;line-height:1.1;letter-spacing:-.02em;font-weight:700;text-wrap:balance}
.lead{max-width:44em;margin:0 0 22px;font-size:19px;line-height:1.5;color:var(--ink)}
.tally{display:flex;flex-wrap:wrap;gap:8px 20px;align-items:center;margin:0 0 26px}
.tally strong{font-size:20px;font-variant-numeric:tabular-nums;margin-right:2px}
.tally .when{color:var(--ink-2);font-size:14px;margin-left:auto}
a{color:var(--link);text-decoration-thickness:1px;text-underline-offset:3px}
a:focus-visible{outline:2px solid var(--link);outline-offset:2px}
h2{margin:56px 0 10px;font-size:26px;line-height:1.2;letter-spacing:-.01em}
h3{margin:0;font-size:17px;line-height:1.35}
.prose{max-width:44em;margin:0 0 12px}
small{display:block;font-size:13px;line-height:1.4;color:var(--ink-2)}
code{font:0.92em/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace}
pre{margin:0;padding:14px 18px;border:1px solid var(--line);border-radius:8px;background:var(--soft);overflow-x:auto;user-select:all}
nav{display:flex;flex-wrap:wrap;gap:6px 22px;margin-top:28px;padding:12px 0;border-bottom:1px solid var(--line);font-size:15px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
.badge{display:inline-block;padding:2px 10px 2px 8px;border-radius:999px;font-size:13px;font-weight:600;line-height:1.5;white-space:nowrap}
.badge b{display:inline-block;width:1em;text-align:center}
.holds{color:var(--good);background:var(--good-bg)}
.does-not-hold{color:var(--bad);background:var(--bad-bg)}
.inconclusive{color:var(--open);background:var(--open-bg)}
.verdicts th{font-size:13px;font-weight:600;text-align:left;color:var(--ink-2);padding:0 12px 8px 0;vertical-align:bottom}
.verdicts th small{font-weight:400;font-size:12px;white-space:nowrap}
.verdicts td{padding:11px 12px 11px 0;vertical-align:top;border-top:1px solid var(--line)}
.verdicts .num,.data .num{text-align:right;white-space:nowrap}
.verdicts th:last-child,.verdicts td:last-child{padding-right:0}
.verdicts .paper th{padding:20px 0 8px;font-size:15px;color:var(--ink)}
.verdicts .paper span{font-weight:400;color:var(--ink-2)}
.verdicts .paper a{color:inherit;text-decoration-color:var(--line)}
.verdicts .paper a:hover{text-decoration-color:currentColor}
.verdicts td p{margin:0;font-weight:500;line-height:1.4}
.verdicts .v{width:130px}
.verdicts .pic{width:132px}
.verdicts .p small{max-width:11em;margin-left:auto;white-space:normal}
.verdicts .note{font-style:italic}
.figure{display:block;width:100%;height:auto;overflow:visible}
.figure text{white-space:pre}
.fig{margin:28px 0 0}
.images{border-spacing:6px;font-size:.85rem}
.images th{font-weight:500;text-align:left;padding-right:8px}
.images th[scope=col]{text-align:center}
.images img{display:block;width:72px;height:auto;image-rendering:pixelated}
figcaption{max-width:44em;margin:2px 0 14px;font-size:15px;color:var(--ink-2)}
.panels{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(300px,100%),1fr));gap:18px 10px}
.legend{display:flex;flex-wrap:wrap;align-items:end;gap:8px 20px;margin:0 0 10px}
.legend .figure{width:340px}
.missing{display:inline-flex;align-items:center;gap:7px;padding-bottom:14px;font-size:12px;color:var(--ink-2)}
.missing::before{content:"";width:14px;height:11px;background:var(--missing);print-color-adjust:exact}
.medium,.narrow{display:none}
.scroll{overflow-x:auto;margin-top:28px}
.data{width:auto;min-width:min(100%,720px)}
.data caption{text-align:left;padding-bottom:8px;color:var(--ink-2);font-size:15px}
.data caption strong{color:var(--ink);font-size:17px;font-weight:700}
.data th{text-align:left;font-weight:600;font-size:14px}
.data thead th{color:var(--ink-2);font-size:13px;vertical-align:bottom;padding:6px 14px 6px 0}
.data td,.data tbody th{padding:7px 14px 7px 0;border-top:1px solid var(--line);font-size:15px;vertical-align:middle}
.data tbody th{white-space:nowrap}
.data .num{padding-right:28px}
.data .figure{width:110px}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(300px,100%),1fr));gap:14px 28px;margin:14px 0 20px}
dt{font-size:13px;color:var(--ink-2)}
dd{margin:0;overflow-wrap:anywhere}
ul.prose{padding-left:1.2em}
footer{margin-top:56px;padding-top:18px;padding-bottom:48px;font-size:14px;color:var(--ink-2)}
footer p{max-width:60em;margin:0;padding-top:18px;border-top:1px solid var(--line)}
svg *{print-color-adjust:exact;-webkit-print-color-adjust:exact}
@media screen and (max-width:1000px){
.wide{display:none}
.medium{display:block}
}
@media screen and (max-width:640px){
.medium{display:none}
.narrow{display:block}
}
@media screen and (max-width:880px){
.hero,main,footer{padding-left:16px;padding-right:16px}
.hero{padding-top:32px}
h1{font-size:33px}
.lead{font-size:17px}
h2{margin-top:44px;font-size:23px}
.tally .when{margin-left:0;width:100%}
.verdicts,.verdicts tbody,.verdicts tr{display:block}
.verdicts thead{display:none}
.verdicts .paper th{display:block}
.verdicts tr:not(.paper){display:grid;grid-template-columns:1fr 1fr;gap:4px 16px;padding:14px 0;border-top:1px solid var(--line)}
.verdicts td,.verdicts td.num{display:block;width:auto;padding:0;border:0;text-align:left;white-space:normal}
.verdicts .v,.verdicts .c{grid-column:1/-1}
.verdicts .num::before{content:attr(data-label);display:block;font-size:12px;color:var(--ink-2)}
.verdicts .p small{max-width:none}
.verdicts .b,.verdicts .m{margin-top:4px}
}
@media screen and (min-width:560px) and (max-width:880px){
.verdicts tr:not(.paper){grid-template-columns:1.2fr 1.2fr 132px 1.3fr}
}
@media print{
@page{margin:14mm}
body{font-size:10.5pt}
.hero,main,footer{max-width:none;padding:0}
.hero{padding-top:12px}
.verdicts{font-size:9.5pt}
.verdicts small{font-size:8pt}
.lead{font-size:12pt}
nav{display:none}
h1{font-size:28pt}
h2{break-after:avoid;margin-top:28px}
.verdicts tr,.fig,.panels svg,.data,pre{break-inside:avoid}
.verdicts .paper{break-after:avoid}
.verdicts .pic{display:none}
.verdicts .c{min-width:17em}
.verdicts .p{min-width:9em}
.verdicts .v{width:96px}
.badge{font-size:8.5pt}
.data td,.data th,.data tbody th{font-size:9.5pt;padding-right:10px}
.fig h3,figcaption,.legend{break-after:avoid}
.panels{grid-template-columns:repeat(2,1fr)}
.badge{print-color-adjust:exact;-webkit-print-color-adjust:exact}
.wide{display:none}
.medium{display:block}
}
`;
