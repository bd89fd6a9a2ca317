"""The page of `rung batch --sample`, without its rows. It loads nothing from elsewhere, and sends nothing."""

from __future__ import annotations

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>Answers to review</title>
<style>
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }
article { border: 1px solid #8886; border-radius: .5rem; padding: 1rem; margin: 1rem 0; }
article[data-mark=right] { border-color: #2a7; }
article[data-mark=wrong] { border-color: #c43; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: .5rem 0; font: inherit; }
pre.answer { font: 15px/1.4 ui-monospace, monospace; background: #8882; padding: .5rem; border-radius: .3rem; }
.small { font-size: .85rem; opacity: .8; }
button, textarea { font: inherit; }
button { padding: .3rem .9rem; margin-right: .5rem; }
button[aria-pressed=true] { outline: 3px solid currentColor; }
textarea { width: 100%; box-sizing: border-box; margin-top: .3rem; }
header { position: sticky; top: 0; background: Canvas; padding: .5rem 0; border-bottom: 1px solid #8886; }
</style>
</head>
<body>
<header>
<h1>Answers to review</h1>
<p><span id="sum" role="status"></span> <button id="save" type="button">Save the labels</button></p>
<p class="small">A wrong answer needs the right one beside it: labels of right answers alone would say that every answer
is right. The file is for <code>@COMMAND@</code>.</p>
</header>
<main id="rows"></main>
<script id="data" type="application/json">@DATA@</script>
<script>
"use strict";
const rows = JSON.parse(document.getElementById("data").textContent);
const marks = rows.map(() => ({ mark: "", right: "" }));
const make = (name, text, kind) => {
  const it = document.createElement(name);
  if (text !== undefined) it.textContent = text;
  if (kind) it.className = kind;
  return it;
};
function expected(row, mark) {
  if (mark.mark === "right") return row.value;
  if (row.text) return mark.right;
  try { return JSON.parse(mark.right); } catch { return undefined; }
}
const open = (row, mark) => mark.mark === "wrong" && (mark.right.trim() === "" || expected(row, mark) === undefined);
function sum() {
  const right = marks.filter(it => it.mark === "right").length;
  const wrong = marks.filter(it => it.mark === "wrong").length;
  const missing = rows.filter((row, i) => open(row, marks[i])).length;
  let said = `${right} right, ${wrong} wrong, ${rows.length - right - wrong} not marked.`;
  if (missing) said += ` ${missing} wrong ${missing === 1 ? "one needs" : "ones need"} the right answer.`;
  document.getElementById("sum").textContent = said;
  document.getElementById("save").disabled = missing > 0 || right + wrong === 0;
}
rows.forEach((row, i) => {
  const card = make("article"), field = make("div"), area = make("textarea");
  card.append(make("pre", row.prompt), make("pre", row.answer, "answer"));
  const sure = row.confidence === null ? "" : `, confidence ${row.confidence.toFixed(2)}`;
  const by = row.checked.length ? `, checked by ${row.checked.join(", ")}` : "";
  card.append(make("p", `line ${row.line}: ${row.tier}${sure}${by}`, "small"));
  for (const reason of row.reasons) card.append(make("p", reason, "small"));
  const label = make("label", row.text ? "The right answer" : "The right answer, as JSON");
  label.append(area);
  field.append(label);
  field.hidden = true;
  area.addEventListener("input", () => { marks[i].right = area.value; sum(); });
  const buttons = ["right", "wrong"].map(mark => {
    const button = make("button", mark);
    button.type = "button";
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => {
      marks[i].mark = marks[i].mark === mark ? "" : mark;
      card.dataset.mark = marks[i].mark;
      buttons.forEach(it => it.setAttribute("aria-pressed", String(it.textContent === marks[i].mark)));
      field.hidden = marks[i].mark !== "wrong";
      sum();
    });
    return button;
  });
  card.append(...buttons, field);
  document.getElementById("rows").append(card);
});
function labels() {
  return rows.flatMap((row, i) => marks[i].mark === "" ? [] :
    [JSON.stringify({ ...row.label, expected: expected(row, marks[i]),
      metadata: { line: row.line, tier: row.tier, answered: row.value } })]);
}
document.getElementById("save").addEventListener("click", () => {
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([labels().join("\\n") + "\\n"], { type: "application/jsonl" }));
  link.download = "labels.jsonl";
  link.click();
  URL.revokeObjectURL(link.href);
});
sum();
</script>
</body>
</html>
"""
