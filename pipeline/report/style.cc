#include "pipeline/report/style.h"

namespace tovamill {

// Colours are variables, which the SVG uses, too: dark where the reader's system is, light on
// paper.
const char* const kReportStyle = R"(
:root{color-scheme:light dark;--paper:#fff;--ink:#1c1c1c;--soft:#5a5a5a;--grid:#ddd;--line:#c8c8c8;
--link:#0550ae;--band:#f5f5f5;--s0:#0072b2;--s1:#c75100;--s2:#00805c;--s3:#b6528f;--s4:#8f6a00;
--s5:#2f8fc4;--s6:#7b3294;--s7:#4d4d4d}
@media screen and (prefers-color-scheme:dark){:root{--paper:#151719;--ink:#e6e6e6;--soft:#a9adb1;
--grid:#33373b;--line:#43484d;--link:#7ab7ff;--band:#1e2124;--s0:#58a6e0;--s1:#f28e3c;--s2:#3cc795;
--s3:#e79bc9;--s4:#e0b93c;--s5:#9ad4f5;--s6:#c89be0;--s7:#bdbdbd}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-padding-top:1rem}
body{margin:0 auto;max-width:78rem;padding:1rem;background:var(--paper);color:var(--ink);
font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;
overflow-wrap:anywhere}
h1{font-size:1.6rem;line-height:1.2;margin:.5rem 0}
h2{font-size:1.25rem;line-height:1.3;margin:2.5rem 0 .75rem;padding-top:.5rem;
border-top:1px solid var(--line)}
p{max-width:46rem;margin:.5rem 0}
header p,figcaption,small{color:var(--soft)}
a{color:var(--link)}
nav ul{display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;list-style:none;padding:0;margin:.75rem 0}
.skip{position:absolute;left:-999rem}
.skip:focus{position:static}
:focus-visible{outline:2px solid var(--link);outline-offset:2px}
.pictures{display:grid;gap:.25rem 1.5rem;
grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));
align-items:start}
.pictures>*{min-width:0}
.pictures>:not(figure){grid-column:1/-1}
figure{margin:0 0 1.5rem;min-width:0}
figure h3{font-size:1rem;margin:0 0 .25rem}
figure svg{display:block;width:100%;max-width:45rem;height:auto}
svg text{font-family:inherit}
svg image{image-rendering:pixelated}
figcaption{font-size:.9rem;max-width:46rem}
.legend{display:flex;flex-wrap:wrap;gap:.1rem 1rem;list-style:none;padding:0;margin:.25rem 0;
font-size:.9rem}
.c0{color:var(--s0)}.c1{color:var(--s1)}.c2{color:var(--s2)}.c3{color:var(--s3)}
.c4{color:var(--s4)}.c5{color:var(--s5)}.c6{color:var(--s6)}.c7{color:var(--s7)}
.scroll{overflow-x:auto;max-width:100%;margin:.5rem 0}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
caption{text-align:left;font-weight:600;padding:.25rem 0;white-space:nowrap}
th,td{padding:.25rem .75rem .25rem 0;text-align:left;vertical-align:top;
border-bottom:1px solid var(--grid);unicode-bidi:isolate;overflow-wrap:normal}
td{max-width:32rem;overflow-wrap:break-word}
tbody tr{background:var(--paper)}
th[scope=row]{font-weight:400;position:sticky;left:0;
background:inherit;min-width:9rem;max-width:24rem;overflow-wrap:break-word}
thead th{font-weight:600;white-space:nowrap;vertical-align:bottom;border-bottom-color:var(--line)}
.n,th.n[scope=row]{text-align:right;min-width:0}
td.n,.s{white-space:nowrap}
tbody tr:nth-child(even){background:var(--band)}
details{margin:.5rem 0}
summary{cursor:pointer;color:var(--link);width:fit-content}
pre{margin:.5rem 0;font-size:.85rem;line-height:1.4}
.texts dt{font-weight:600;margin-top:.75rem;unicode-bidi:isolate}
.texts dd{margin:.25rem 0 0 1rem;max-width:46rem;white-space:pre-wrap;unicode-bidi:isolate}
@media (max-width:30rem){body{padding:.75rem}h2{margin-top:2rem}
th[scope=row]{min-width:0;max-width:8rem}.s{white-space:normal}}
@page{margin:12mm}
@media print{body{max-width:none;padding:0;font-size:10pt}
table{font-size:7pt}thead th,td.n,.s{white-space:normal}th,td,thead th{padding:1pt 3pt 1pt 0}
th[scope=row]{min-width:0}caption{white-space:normal}nav,.skip{display:none}
figure,tr{break-inside:avoid}h2,h3{break-after:avoid}.scroll{overflow:visible}
.pictures{grid-template-columns:1fr 1fr}
tbody tr:nth-child(even){background:none}th[scope=row]{position:static}
details:not([open]){display:none}}
)";

}  // namespace tovamill
