"""The style of a report's page: light, dark and paper, from a telephone's width up."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1d2329; --soft: #5c6670; --line: #dde2e7; --ground: #eef1f4;
  --accent: #2563a8; --second: #b35c00; --good: #1a7f4b; --bad: #c0392b; --doubt: #8a6d00; --on: #fff; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181c; --ink: #e6eaee; --soft: #9aa5b0; --line: #2c343c;
  --ground: #20262c; --accent: #6cb0f5; --second: #f0a35e; --good: #4cc38a; --bad: #ff7f6e; --doubt: #e3c25a;
  --on: #101418; } }
* { box-sizing: border-box; }
body { font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; color: var(--ink); background: var(--paper);
  max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .3rem; }
h2 { font-size: 1.25rem; margin: 2.8rem 0 .4rem; padding-top: 1rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.6rem 0 .2rem; }
p { margin: .4rem 0; max-width: 46rem; overflow-wrap: break-word; }
.soft, figcaption, small { color: var(--soft); font-size: .9rem; }
.lead { font-size: 1.1rem; }
ul.findings { list-style: none; padding: 0; margin: .4rem 0; }
ul.findings li { margin: .45rem 0; padding: .4rem .9rem; border-left: 4px solid var(--soft); background: var(--ground);
  border-radius: 0 6px 6px 0; overflow-wrap: break-word; }
ul.findings .works { border-color: var(--good); } ul.findings .weak, ul.findings .broken { border-color: var(--bad); }
ul.findings .unsure { border-color: var(--doubt); }
ul.findings span { display: block; } ul.findings strong { font-weight: 600; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); gap: 1rem;
  margin: 1rem 0; }
.figure { border: 1px solid var(--line); border-radius: 8px; padding: .8rem 1rem; }
.figure .name { font-weight: 600; } .figure .big { font-size: 1.9rem; line-height: 1.3; font-weight: 650; }
.figure .interval { color: var(--ink); font-size: .9rem; margin: 0 0 .4rem; } .figure p { font-size: .9rem; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 23rem), 1fr)); gap: 1.5rem 2.5rem; }
.pair figure { margin: 0; } .pair h3 { margin-top: .6rem; }
figure { margin: 1rem 0; min-width: 0; } figcaption { margin-top: .3rem; max-width: 46rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; margin: .6rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top; }
th { font-weight: 600; color: var(--soft); } th.word, td.word { text-align: left; }
dt { font-weight: 600; margin-top: .6rem; } dd { margin: 0; max-width: 46rem; }
svg { display: block; width: 100%; height: auto; font-family: inherit; }
svg .tick { font-size: 11px; fill: var(--soft); } svg .label { font-size: 12px; fill: var(--ink); }
svg .value { font-size: 11.5px; fill: var(--ink); font-variant-numeric: tabular-nums; }
svg .on { font-size: 11.5px; fill: var(--on); }
svg .grid { stroke: var(--line); } svg .axis { stroke: var(--soft); } svg .ideal { stroke: var(--soft);
  stroke-dasharray: 4 4; } svg .rule { stroke: var(--second); stroke-width: 1.5; }
svg .whisker { stroke: var(--ink); stroke-width: 1.5; } svg .ground { fill: var(--ground); }
svg .bar, svg .mark { fill: var(--accent); } svg .second { fill: var(--second); } svg .badbar { fill: var(--bad); }
svg .faint { stroke: var(--accent); stroke-opacity: .35; } svg .band { fill: var(--accent); fill-opacity: .18; }
svg .curve, svg .markline { fill: none; stroke: var(--accent); stroke-width: 1.5; }
svg .secondline { fill: none; stroke: var(--second); stroke-width: 1.5; }
svg .thirdline { fill: none; stroke: var(--good); stroke-width: 1.5; }
svg .truth { fill: var(--doubt); fill-opacity: .22; } svg .alarm { stroke: var(--bad); stroke-width: 1.2; }
svg .alarmhead { fill: var(--bad); }
svg .label0 { fill: #2563a8; } svg .label1 { fill: #b35c00; } svg .label2 { fill: #1a7f4b; }
svg .label3 { fill: #8e44ad; }
svg .label4 { fill: #a8325c; } svg .label5 { fill: #00707a; } svg .label6 { fill: #6b5b00; }
svg .label7 { fill: #54606b; }
svg .ring { fill: none; stroke: var(--second); stroke-width: 2; }
svg .cell { fill: var(--ground); } svg .good { fill: var(--good); } svg .bad { fill: var(--bad); }
@media print { :root { color-scheme: light; --paper: #fff; --ink: #000; --soft: #444; --line: #bbb; --ground: #eee;
  --accent: #2563a8; --second: #b35c00; --good: #1a7f4b; --bad: #c0392b; --doubt: #8a6d00; --on: #fff; }
  body { max-width: none; padding: 0; font-size: 11pt; } h2 { break-after: avoid; }
  figure, .figure, li { break-inside: avoid; } * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""
