"""The look of the dashboard: one style sheet, light and dark, nothing from outside."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --ground:#f6f7f9; --panel:#ffffff; --line:#e2e6ec;
  --text:#1c2430; --quiet:#667085; --accent:#2463c5; --up:#12805c; --down:#c5282f;
  --maint:#9a6700; --drain:#6941c6; --chip:12%; }
@media (prefers-color-scheme: dark) { :root { --ground:#10151d; --panel:#18202b; --line:#2a3442;
  --text:#e4e9f0; --quiet:#93a0b2; --accent:#7fb0ff; --up:#4cc79b; --down:#ff7b80;
  --maint:#e0b04a; --drain:#b89cff; --chip:18%; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text);
  font: 14px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1280px; margin: 0 auto; padding: 24px 20px 48px; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 14px; }
h1 { font-size: 22px; margin: 0; letter-spacing: -.01em; }
h2 { font-size: 15px; margin: 30px 0 10px; }
h2 small, header span { color: var(--quiet); font-weight: 400; font-size: 13px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 10px;
  margin-top: 18px; }
.tile { background: var(--panel); border: 1px solid var(--line); border-radius: 10px;
  padding: 10px 14px; }
.tile b { display: block; font-size: 20px; font-variant-numeric: tabular-nums; }
.tile span { color: var(--quiet); font-size: 12px; }
.panel { background: var(--panel); border: 1px solid var(--line); border-radius: 10px;
  overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: right; color: var(--quiet); font-weight: 500; font-size: 12px; }
td { text-align: right; }
th, td { padding: 6px 12px; border-bottom: 1px solid var(--line); white-space: nowrap; }
th.t, td.t { text-align: left; }
tr:last-child td { border-bottom: 0; }
tr.sum td { font-weight: 600; }
td.a { font-family: ui-monospace, SFMono-Regular, Menlo, monospace; font-size: 12.5px; }
.s { --c: var(--quiet); color: var(--c); border-radius: 999px; padding: 1px 9px; font-size: 12px;
  font-weight: 600; background: color-mix(in srgb, var(--c) var(--chip), transparent); }
.up { --c: var(--up); } .down { --c: var(--down); } .maint { --c: var(--maint); }
.drain { --c: var(--drain); } .bad { color: var(--down); font-weight: 600; }
.banner { border: 1px solid var(--down); border-radius: 10px; color: var(--down); margin: 14px 0 0;
  padding: 8px 14px; }
footer { margin-top: 26px; color: var(--quiet); font-size: 12px; }
"""
