// The style sheet: the colours and the stripes of the reports, and what a text of many pages needs.
import { colors, stripes } from "../../dist/report/style.js";

const code = {
  light:
    "--c-keyword:#8a1a9b;--c-string:#0b6b45;--c-number:#9a4a00;--c-comment:#5f6773;--c-title:#1d4fb8;--c-type:#00697a",
  dark: "--c-keyword:#d9a1f2;--c-string:#8fd9ad;--c-number:#f0b37e;--c-comment:#98a1ae;--c-title:#9cc1ff;--c-type:#7fd0de",
};
const light = `${colors.light};${code.light};color-scheme:light`;
const dark = `${colors.dark};${code.dark};color-scheme:dark`;

export const styleSheet = `
:root{${light}}
@media (prefers-color-scheme:dark){:root:not([data-theme]){${dark}}}
:root[data-theme=dark]{${dark}}
@media print{:root,:root[data-theme=dark]{${light}}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%;scroll-padding-top:76px}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.6 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;overflow-wrap:break-word}
a{color:var(--link);text-decoration-thickness:1px;text-underline-offset:3px}
:focus-visible{outline:2px solid var(--link);outline-offset:2px}
.skip{position:absolute;left:-9999px}
.skip:focus{left:8px;top:8px;z-index:3;padding:6px 12px;background:var(--page)}
header{position:sticky;top:0;z-index:2;display:flex;align-items:center;gap:16px;height:60px;padding:6px 24px 0;background:var(--page);border-bottom:1px solid var(--line)}
header::before{content:"";position:absolute;inset:0 0 auto;height:6px;background:linear-gradient(90deg,${stripes})}
.name{font-weight:700;font-size:18px;letter-spacing:-.01em;color:var(--ink);text-decoration:none}
[role=search]{position:relative;flex:1;max-width:480px;margin-left:auto}
#site-search{width:100%;height:36px;padding:0 12px;font:inherit;font-size:15px;color:var(--ink);background:var(--soft);border:1px solid var(--line);border-radius:8px}
#site-search::placeholder{color:var(--ink-2);opacity:1}
#site-results{position:absolute;right:0;top:42px;width:min(560px,calc(100vw - 32px));max-height:min(70vh,640px);overflow-y:auto;padding:6px;background:var(--page);border:1px solid var(--line);border-radius:10px;box-shadow:0 12px 32px rgb(0 0 0/.18)}
#site-results[hidden]{display:none}
#site-results a{display:flex;flex-wrap:wrap;gap:0 10px;align-items:baseline;padding:8px 10px;border-radius:6px;color:var(--ink);text-decoration:none}
#site-results a:hover,#site-results a[aria-selected]{background:var(--soft);box-shadow:inset 3px 0 var(--link)}
#site-results strong{font-weight:600;overflow-wrap:anywhere}
#site-results span{font-size:13px;color:var(--ink-2)}
#site-results small{width:100%;font-size:13px;line-height:1.45;color:var(--ink-2);overflow-wrap:anywhere}
#site-results p{margin:8px 10px;color:var(--ink-2)}
mark{background:var(--open-bg);color:var(--open);border-radius:2px}
#site-theme{width:36px;height:36px;font-size:18px;line-height:1;color:var(--ink);background:var(--soft);border:1px solid var(--line);border-radius:8px;cursor:pointer}
.columns{display:grid;grid-template-columns:248px minmax(0,1fr) 208px;gap:0 44px;max-width:1400px;margin:0 auto;padding:0 24px}
#site-menu{position:sticky;top:60px;align-self:start;max-height:calc(100vh - 60px);overflow-y:auto;padding:18px 8px 48px 0;font-size:14.5px}
#site-menu summary{display:none}
nav h2,aside h2{margin:20px 0 6px;font-size:12.5px;font-weight:600;letter-spacing:.04em;color:var(--ink-2)}
nav h2:first-child,aside h2{margin-top:6px}
nav ul,aside ul{list-style:none;margin:0;padding:0}
nav a{display:block;padding:3px 10px;border-radius:6px;line-height:1.4;color:var(--ink);text-decoration:none}
nav a:hover{background:var(--soft)}
nav a[aria-current]{background:var(--soft);box-shadow:inset 3px 0 var(--link);font-weight:600}
aside{position:sticky;top:60px;align-self:start;max-height:calc(100vh - 60px);overflow-y:auto;padding:18px 0 48px;font-size:13.5px}
aside a{display:block;padding:2px 0;line-height:1.4;color:var(--ink-2);text-decoration:none;overflow-wrap:anywhere}
aside a:hover{color:var(--link)}
aside .depth-3{padding-left:12px}
main{min-width:0;max-width:800px;padding:22px 0 64px}
h1{margin:6px 0 16px;font-size:36px;line-height:1.15;letter-spacing:-.02em;text-wrap:balance}
main h2{margin:44px 0 10px;font-size:24px;line-height:1.25;letter-spacing:-.01em}
main h3{margin:32px 0 8px;font-size:18px;line-height:1.35}
h3 code{padding:0;background:none;font-size:.95em;font-weight:600;overflow-wrap:anywhere}
.anchor{margin-left:.4em;color:var(--ink-2);font-weight:400;text-decoration:none;opacity:0}
:is(h1,h2,h3,h4):hover .anchor,.anchor:focus{opacity:1}
:target{scroll-margin-top:76px}
h3:target,h2:target{background:linear-gradient(90deg,var(--open-bg),transparent)}
p,main ul,main ol{margin:0 0 14px}
main li{margin:3px 0}
code{padding:.12em .32em;border-radius:4px;background:var(--soft);font:.9em/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace}
.code{margin:0 0 16px}
figcaption{display:inline-block;padding:3px 12px;border:1px solid var(--line);border-bottom:0;border-radius:8px 8px 0 0;background:var(--soft);font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;color:var(--ink-2)}
pre{margin:0;padding:12px 16px;border:1px solid var(--line);border-radius:8px;background:var(--soft);overflow-x:auto;tab-size:2;font-size:13.5px;line-height:1.55}
pre.text{white-space:pre-wrap}
figcaption+pre{border-top-left-radius:0}
pre code{padding:0;background:none;font-size:inherit;line-height:inherit}
pre a{color:inherit;text-decoration-color:var(--ink-2);text-decoration-style:dotted}
.scroll{overflow-x:auto;margin:0 0 18px}
table{border-collapse:collapse;min-width:100%;font-size:14.5px;line-height:1.5;font-variant-numeric:tabular-nums}
th{padding:6px 14px 6px 0;text-align:left;vertical-align:bottom;font-size:13px;font-weight:600;color:var(--ink-2)}
td{padding:7px 14px 7px 0;vertical-align:top;border-top:1px solid var(--line)}
td:first-child{min-width:9em}
td code{overflow-wrap:anywhere}
blockquote{margin:0 0 14px;padding-left:14px;border-left:3px solid var(--line);color:var(--ink-2)}
hr{border:0;border-top:1px solid var(--line);margin:32px 0}
img{max-width:100%}
footer{display:flex;justify-content:space-between;gap:24px;margin-top:56px;padding-top:18px;border-top:1px solid var(--line);font-size:15px}
[rel=prev]::before{content:"← "}
[rel=next]::after{content:" →"}
[rel=next]{text-align:right}
.hljs-keyword,.hljs-built_in,.hljs-selector-tag,.hljs-tag .hljs-name{color:var(--c-keyword)}
.hljs-string,.hljs-regexp,.hljs-addition{color:var(--c-string)}
.hljs-number,.hljs-literal,.hljs-symbol{color:var(--c-number)}
.hljs-comment,.hljs-quote,.hljs-meta{color:var(--c-comment)}
.hljs-title,.hljs-section,.hljs-attr,.hljs-attribute,.hljs-selector-class,.hljs-selector-id{color:var(--c-title)}
.hljs-type,.hljs-class .hljs-title,.hljs-title.class_{color:var(--c-type)}
@media (max-width:1180px){.columns{grid-template-columns:248px minmax(0,1fr)}aside{display:none}}
@media (max-width:899px){
header{padding:6px 16px 0;gap:10px}
.columns{display:block;padding:0 16px}
#site-menu{position:static;max-height:none;margin-top:14px;padding:0;border:1px solid var(--line);border-radius:8px;background:var(--soft)}
#site-menu summary{display:block;padding:9px 14px;cursor:pointer;font-weight:600}
#site-menu summary::after{content:"▾";float:right}
#site-menu nav{padding:0 8px 14px}
nav h2{margin-left:10px}
nav a{padding:7px 10px}
main{padding-top:14px}
h1{font-size:29px}
main h2{font-size:21px;margin-top:36px}
#site-results{position:fixed;left:16px;right:16px;top:56px;width:auto}
}
@media print{header,#site-menu,aside,footer,.anchor{display:none}.columns{display:block;padding:0}pre{white-space:pre-wrap}}
`;
