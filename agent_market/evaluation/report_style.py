"""The report's style sheet."""

CSS = """
:root { --ink: #22303f; --muted: #647183; --line: #dfe4ea; --soft: #f6f8fa; --accent: #2b5c8f; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--soft); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 28px 24px 48px; }
header h1 { font-size: 25px; line-height: 1.25; margin: 0 0 4px; overflow-wrap: anywhere; }
header p { margin: 0; color: var(--muted); }
.badge { display: inline-block; margin-top: 10px; padding: 2px 10px; border-radius: 3px;
  border: 1px solid #c3ccd6; background: #fff; font-size: 13px; }
.badge.simulated { background: #fdf3e3; border-color: #e3b878; color: #77490f; }
section { background: #fff; border: 1px solid var(--line); border-radius: 6px;
  padding: 18px 20px; margin-top: 18px; }
h2 { font-size: 17px; margin: 0 0 2px; }
h3 { font-size: 14px; margin: 18px 0 4px; }
.note { color: var(--muted); font-size: 13px; margin: 2px 0 10px; max-width: 88ch; }
.cards { display: grid; gap: 12px; margin-top: 18px;
  grid-template-columns: repeat(auto-fit, minmax(172px, 1fr)); }
.card { background: #fff; border: 1px solid var(--line); border-radius: 6px; padding: 12px 14px; }
.card .label { color: var(--muted); font-size: 12.5px; }
.card .value { font-size: 22px; font-weight: 600; font-variant-numeric: tabular-nums;
  white-space: nowrap; }
.card .detail { color: var(--muted); font-size: 12.5px; }
.columns { display: grid; gap: 8px 24px; grid-template-columns: repeat(2, minmax(0, 1fr)); }
.chart { width: 100%; min-width: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; }
th, td { padding: 5px 10px; border-bottom: 1px solid var(--line); text-align: right;
  font-variant-numeric: tabular-nums; white-space: nowrap; }
th { color: var(--muted); font-weight: 600; font-size: 12.5px; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
tr:last-child td { border-bottom: 0; }
tr.group td { padding-top: 14px; font-weight: 600; font-size: 12.5px; color: var(--muted); }
.scroll { margin-top: 10px; }
table.facts td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
table.facts td:first-child { width: 34%; color: var(--muted); }
code { font: 12.5px/1.4 ui-monospace, Consolas, "Liberation Mono", monospace; }
ul { margin: 6px 0 0; padding-left: 20px; max-width: 100ch; }
li { margin: 3px 0; }
details { margin-top: 14px; }
summary { cursor: pointer; color: var(--accent); font-size: 14px; }
.empty { color: var(--muted); margin: 8px 0 0; }
footer { color: var(--muted); font-size: 12.5px; margin-top: 18px; }
@media (max-width: 760px) {
  main { padding: 18px 10px 32px; }
  section { padding: 14px 12px; }
  header h1 { font-size: 21px; }
  .columns { grid-template-columns: minmax(0, 1fr); }
  .cards { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 8px; }
  .card { padding: 10px; }
  .card .value { font-size: 18px; }
  table { font-size: 12.5px; }
  th, td { padding: 5px; }
  th { font-size: 11.5px; }
}
@media print { body { background: #fff; } section { break-inside: avoid; } }
"""
