"""The look: one style sheet for screens wide and narrow, light and dark, and for paper.

Served by itself, because the pages forbid styles of their own (Content-Security-Policy).
"""

from __future__ import annotations

import hashlib

STYLE = """
:root { color-scheme: light dark; --ground:#f5f6f8; --panel:#fff; --line:#dfe3ea; --text:#18202c;
  --quiet:#566070; --accent:#1b57b5; --up:#0c6b47; --down:#b3171f; --amber:#8a5200;
  --drain:#5b32b8; --wash-down:#fdf0f0; --wash-amber:#fdf6e8; --wash-up:#eef8f3;
  --in-down:#fff; }
@media (prefers-color-scheme: dark) { :root { --ground:#0f141b; --panel:#171e28; --line:#2c3645;
  --text:#e6ebf2; --quiet:#a2aebf; --accent:#8bb7ff; --up:#57d0a3; --down:#ff8b8f;
  --amber:#f0b95a; --drain:#c0a8ff; --wash-down:#2d1a1e; --wash-amber:#2b2418;
  --wash-up:#14261f; --in-down:#1a0708; } }
* { box-sizing: border-box; }
html { scroll-behavior: auto; }
body { margin: 0; background: var(--ground); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 1320px; margin: 0 auto; padding: 0 20px 48px; }
a { color: var(--accent); text-underline-offset: 2px; }
a:focus-visible, .panel:focus-visible, button:focus-visible, select:focus-visible,
summary:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
code { font: 12.5px ui-monospace, SFMono-Regular, Menlo, monospace; color: var(--quiet);
  overflow-wrap: anywhere; }
.bar { display: flex; flex-wrap: wrap; gap: 4px 18px; align-items: baseline; font-size: 13px;
  color: var(--quiet); max-width: 1320px; margin: 0 auto; padding: 10px 20px; }
.bar b { color: var(--text); }
.stop { font-weight: 600; }
.head { border-left: 8px solid var(--up); background: var(--wash-up); border-radius: 6px;
  padding: 14px 18px; margin: 2px 0 18px; }
.head.down { border-color: var(--down); background: var(--wash-down); }
.head.amber { border-color: var(--amber); background: var(--wash-amber); }
h1 { font-size: clamp(19px, 2.4vw, 26px); line-height: 1.25; margin: 0; letter-spacing: -.01em; }
h1 span { font-weight: 500; color: var(--quiet); }
.head p { margin: 6px 0 0; font-size: 13.5px; color: var(--quiet); overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 30px 0 10px; }
h3 { font-size: 15px; margin: 0; overflow-wrap: anywhere; }
h2 small { color: var(--quiet); font-weight: 400; font-size: 13px; }
h2 small + small { margin-left: 14px; }
.troubles { list-style: none; margin: 0; padding: 0; display: grid; gap: 10px; }
.trouble { background: var(--panel); border: 1px solid var(--line);
  border-left: 5px solid var(--down); border-radius: 6px; padding: 10px 16px; }
.trouble.amber { border-left-color: var(--amber); }
.trouble h3 span { font-weight: 400; }
.chain { margin: 4px 0 0; padding: 0; list-style: none; font-size: 14px; }
.chain li { overflow-wrap: anywhere; padding-left: 20px; position: relative; }
.chain li::before { content: "\\2190"; position: absolute; left: 0; color: var(--quiet); }
.trouble footer { margin: 6px 0 0; display: flex; flex-wrap: wrap; gap: 0 16px;
  font-size: 12.5px; color: var(--quiet); }
.fine { color: var(--up); font-weight: 600; margin: 0; }
.tiles { display: grid; gap: 10px;
  grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); }
.tile { background: var(--panel); border: 1px solid var(--line); border-radius: 6px;
  padding: 8px 14px; }
.tile b { display: block; font-size: 19px; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
.tile span { color: var(--quiet); font-size: 12.5px; display: block; }
.panel { background: var(--panel); border: 1px solid var(--line); border-radius: 6px;
  overflow-x: auto; margin: 0 0 14px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums;
  font-size: 13.5px; }
caption { text-align: left; padding: 8px 12px; font-weight: 600; border-bottom: 1px solid
  var(--line); }
caption code { font-weight: 400; margin-left: 8px; }
caption .s { margin-left: 8px; }
thead th { color: var(--quiet); font-weight: 500; font-size: 12.5px; }
th, td { padding: 5px 9px; border-bottom: 1px solid var(--line); white-space: nowrap;
  text-align: right; font-weight: 400; }
tbody th { font-weight: 500; }
th.t, td.t { text-align: left; }
td.w { white-space: normal; min-width: 16em; text-align: left; overflow-wrap: anywhere; }
tbody tr:last-child > * { border-bottom: 0; }
tr.sum > * { font-weight: 650; }
tr.wrong { background: var(--wash-down); } tr.weak { background: var(--wash-amber); }
td.a { font-family: ui-monospace, SFMono-Regular, Menlo, monospace; font-size: 12.5px; }
.s { --c: var(--quiet); color: var(--c); border: 1px solid var(--c); border-radius: 999px;
  padding: 0 8px; font-size: 12.5px; font-weight: 600; white-space: nowrap; }
.up { --c: var(--up); } .down { --c: var(--down); } .maint { --c: var(--quiet); }
.drain { --c: var(--drain); } .warn { --c: var(--amber); }
.s.down { background: var(--down); color: var(--in-down); }
.bad { color: var(--down); font-weight: 650; } .amber { color: var(--amber); font-weight: 650; }
.head.amber, .trouble.amber { color: inherit; font-weight: inherit; }
.aged { color: var(--down); font-weight: 650; animation: shown 0s 3s both; }
@keyframes shown { from { visibility: hidden; position: absolute; } to { visibility: visible;
  position: static; } }
.quiet { color: var(--quiet); }
.way { display: flex; flex-wrap: wrap; gap: 10px 34px; list-style: none; padding: 0;
  margin: 8px 0 6px; align-items: center; }
.way li { position: relative; display: grid; gap: 6px; }
.way div { position: relative; background: var(--panel); border: 1px solid var(--line);
  border-top: 3px solid var(--up); border-radius: 6px; padding: 4px 26px 6px 12px;
  max-width: 230px; min-width: 110px; overflow-wrap: anywhere; font-size: 14px; }
.way li + li::before { content: "\\2192"; position: absolute; left: -27px; top: 50%;
  transform: translateY(-50%); color: var(--quiet); font-size: 20px; }
.way li.cut + li::before, .way li + li.cut::before { content: "\\21cf"; color: var(--down); }
.way small { display: block; color: var(--quiet); font-size: 12.5px; line-height: 1.35; }
.way .broken { border: 2px dashed var(--down); background: var(--wash-down); }
.way .broken::after { content: "\\2715"; position: absolute; right: 8px; top: 4px;
  font-weight: 700; color: var(--down); }
.way .weak { border-top-color: var(--amber); background: var(--wash-amber); }
.way .unknown { border-top-color: var(--line); }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(340px, 100%), 1fr));
  gap: 12px; margin: 0 0 14px; }
figure { margin: 0; background: var(--panel); border: 1px solid var(--line); border-radius: 6px;
  padding: 8px 12px; }
figcaption { font-size: 13px; display: flex; flex-wrap: wrap; justify-content: space-between;
  gap: 0 10px; }
figcaption b { font-weight: 600; }
svg.pic { display: block; width: 100%; height: auto; }
svg.spark { width: 120px; height: 20px; vertical-align: middle; }
svg.strip { width: 120px; height: 12px; vertical-align: middle; }
.line { fill: none; stroke: var(--accent); stroke-width: 1.6; vector-effect: non-scaling-stroke; }
.line.second { stroke: var(--amber); stroke-dasharray: 4 2; }
.axis { stroke: var(--line); stroke-width: 1; }
.mark { stroke: var(--drain); stroke-width: 1; stroke-dasharray: 3 2; }
.now { stroke: var(--text); stroke-width: 1.4; }
.gap { fill: var(--quiet); opacity: .16; }
.pic text { font: 10px system-ui, sans-serif; fill: var(--quiet); }
.ok { stroke: var(--up); } .fail { stroke: var(--down); }
.strip path { fill: none; stroke-width: 12; stroke-dasharray: 2 1; }
.strip .fail { stroke-width: 12; } .strip .ok { stroke-width: 6; }
.band { stroke-width: 8; fill: none; }
.events { margin: 0; padding-left: 18px; font-size: 13.5px; }
.head .sentence { font-size: 17px; font-weight: 650; color: var(--text); margin: 0; }
label { display: flex; gap: 8px; align-items: center; }
form { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; margin: 0 0 14px; }
button, select { font: inherit; padding: 4px 12px; border: 1px solid var(--quiet);
  border-radius: 6px; background: var(--panel); color: var(--text); min-height: 32px; }
details { margin: 0 0 14px; } summary { cursor: pointer; padding: 4px 0; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; margin: 0;
  padding: 10px 14px; white-space: pre-wrap; overflow-wrap: anywhere; font-size: 13px; }
.foot { margin-top: 28px; font-size: 13px; color: var(--quiet); display: flex; flex-wrap: wrap;
  gap: 4px 18px; }
@media (max-width: 560px) { main, .bar { padding-left: 12px; padding-right: 12px; }
  .way { flex-direction: column; gap: 26px; align-items: stretch; }
  .way div { max-width: none; }
  .way li + li::before { content: "\\2193"; left: 50%; top: -27px; transform: none; }
  .way li.cut + li::before, .way li + li.cut::before { content: "\\2193"; }
  th, td { padding: 5px 8px; } .trouble { padding: 8px 12px; } }
@media print { :root { color-scheme: light; --ground:#fff; --panel:#fff; --line:#999;
  --text:#000; --quiet:#333; --wash-down:#fff; --wash-amber:#fff; --wash-up:#fff; --in-down:#fff;
  --up:#0c6b47; --down:#b3171f; --amber:#8a5200; --accent:#000; --drain:#333; }
  form, .stop, .foot, .aged { display: none; } .panel { overflow: visible; }
  .trouble, figure, tr { break-inside: avoid; } td, th { white-space: normal; padding: 2px 6px; }
  .s.down { background: none; color: var(--down); } }
"""
STYLE_WORD = f"style-{hashlib.sha256(STYLE.encode()).hexdigest()[:12]}.css"


def icon(down: int, *, weak: bool) -> str:
    """The icon of the page: green, amber, or red with the number of services that are down."""
    colour = "#c5282f" if down else "#b76e00" if weak else "#12805c"
    text = "" if not down else str(down) if down < 100 else "99"
    size = 20 if len(text) < 2 else 17
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">'
        f'<rect width="32" height="32" rx="8" fill="{colour}"/>'
        f'<text x="16" y="23" font-family="sans-serif" font-size="{size}" font-weight="700" '
        f'fill="#fff" text-anchor="middle">{text}</text></svg>\n'
    )
