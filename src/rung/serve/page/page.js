"use strict";

const KEY = "rung-token";
const $ = (id) => document.getElementById(id);

// Every text of a model or a file gets into the page as text, never as markup.
function make(tag, text, name) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (name) node.className = name;
  return node;
}

let token = takeToken();
let asking = null; // what stops the prompt that is under way

function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem(KEY, given);
    history.replaceState(null, "", location.pathname); // out of the address bar and the history
  }
  return sessionStorage.getItem(KEY);
}

function call(path, body, signal) {
  const headers = { authorization: `Bearer ${token}` };
  if (body !== undefined) headers["content-type"] = "application/json";
  const options = { headers, signal, cache: "no-store", credentials: "omit" };
  return fetch(path, body === undefined ? options : { ...options, method: "POST", body: JSON.stringify(body) });
}

// Server-sent events of a response: EventSource can send no token.
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const found = { name: "", data: "" };
      for (const line of block.split("\n")) {
        if (line.startsWith("event: ")) found.name = line.slice(7);
        if (line.startsWith("data: ")) found.data = line.slice(6);
      }
      if (found.data && found.data !== "[DONE]") yield { name: found.name, data: JSON.parse(found.data) };
    }
  }
}

// The state of the server

async function watch() {
  for (;;) {
    try {
      const response = await call("/page/state");
      if (response.status === 401) return askForToken("That token is not this server’s.");
      if (!response.ok) throw new Error(`status ${response.status}`);
      $("door").hidden = true;
      $("inside").hidden = false;
      for await (const { name, data } of events(response)) if (name === "state") show(data);
    } catch {
      // told below, and tried again
    }
    lamp("lost", "no connection to the server");
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
}

function askForToken(why) {
  sessionStorage.removeItem(KEY);
  $("door").hidden = false;
  $("inside").hidden = true;
  $("questions").replaceChildren();
  $("door-error").textContent = why;
  lamp("lost", "not let in");
  $("token").focus();
}

function lamp(kind, text) {
  if ($("lamp").textContent !== text) $("lamp").textContent = text;
  $("lamp").className = `lamp ${kind}`;
}

function show(state) {
  const away = { lan: "may reach this network", internet: "may reach the internet" }[state.reach];
  lamp(away ? "away" : "home", away || "offline: nothing leaves this machine");
  const { available, total } = state.memory_mib;
  $("facts").textContent = `${gib(available)} of ${gib(total)} memory free · rung ${state.version}`;
  const { running, waiting } = state.queue;
  $("queue").textContent = running + waiting ? `${running} under way, ${waiting} waiting` : "Nothing is under way.";
  $("ladder").replaceChildren(...state.tiers.map(tier));
  $("none").hidden = state.requests.length > 0;
  $("latest").replaceChildren(...state.requests.map(request));
  showQuestions(state.questions);
  if ($("model").length !== state.models.length) $("model").replaceChildren(...state.models.map((id) => new Option(id, id)));
}

const gib = (mib) => `${(mib / 1024).toFixed(1)} GiB`;

function tier({ name, zone, paid, loaded, memory_mib: memory, progress }) {
  const item = make("li");
  const held = loaded === null ? "" : loaded ? `loaded${memory ? `, ${memory.toLocaleString("en")} MiB` : ""}` : "not loaded";
  const where = { host: "this machine", lan: "this network", internet: "internet" }[zone];
  item.append(make("span", name, "name"), make("span", [held, where, paid ? "paid" : ""].filter(Boolean).join(" · "), "facts"));
  if (progress !== null) {
    const bar = make("progress");
    bar.value = progress;
    bar.setAttribute("aria-label", `${name} is getting ready`);
    item.append(bar);
  }
  return item;
}

function request(it) {
  const item = make("li");
  const when = new Date(it.at * 1000).toLocaleTimeString("en-GB");
  const facts = [when, `${it.seconds} s`, it.task, cost(it.cost_usd), it.left_machine === false ? "stayed here" : it.left_machine ? "left this machine" : ""];
  item.append(make("span", it.accepted ? it.tier : `no answer: ${words(it.reason)}`, "name"));
  item.append(make("div", facts.filter(Boolean).join(" · "), "facts"));
  const way = make("div", undefined, "way");
  for (const attempt of it.attempts) {
    way.append(make("span", `${attempt.tier}: ${words(attempt.reason)}`, `word ${attempt.verdict === "accept" ? "good" : "bad"}`));
  }
  item.append(way);
  return item;
}

const words = (code) => code.replaceAll("_", " ");
const cost = (usd) => (usd ? `$${usd}` : "");

// Consent

function showQuestions(questions) {
  const box = $("questions");
  const open = new Set(questions.map((it) => `question-${it.id}`));
  for (const shown of [...box.children]) if (!open.has(shown.id)) shown.remove();
  for (const it of questions) if (!$(`question-${it.id}`)) box.append(question(it));
}

function question(it) {
  const box = make("section", undefined, "question");
  box.id = `question-${it.id}`;
  const title = make("h2", `Send this prompt to ${it.destination || it.tier}?`);
  title.id = `${box.id}-title`;
  box.setAttribute("aria-labelledby", title.id);
  const facts = [
    `Tier ${it.tier}, ${it.zone}`,
    `${it.characters.toLocaleString("en")} characters${it.sends_answer ? ", the rejected answer included" : ""}`,
    it.redacted ? "private values masked" : "",
    it.max_cost_usd === null ? "no price is known" : `at most $${it.max_cost_usd}`,
  ];
  const row = make("div", undefined, "row");
  for (const [text, send, name] of [["Send it", true, ""], ["Keep it here", false, "quiet"]]) {
    const button = make("button", text, name);
    button.addEventListener("click", async () => {
      for (const other of row.children) other.disabled = true;
      await call("/page/consent", { id: it.id, send }).catch(() => undefined);
    });
    row.append(button);
  }
  box.append(title, make("p", `${facts.filter(Boolean).join(" · ")}.`));
  if (it.reasons.length) box.append(make("p", `Tried before: ${words(it.reasons.join("; "))}.`, "facts"));
  box.append(row);
  return box;
}

// A prompt of one's own

async function ask() {
  let schema = null;
  $("schema-error").textContent = "";
  if ($("schema").value.trim()) {
    try {
      schema = JSON.parse($("schema").value);
    } catch {
      $("schema-error").textContent = "This is not JSON.";
      $("schema").focus();
      return;
    }
  }
  const body = { model: $("model").value, messages: [{ role: "user", content: $("prompt").value }] };
  if (schema !== null) body.response_format = { type: "json_schema", json_schema: { name: "answer", schema, strict: true } };
  begin();
  asking = new AbortController();
  try {
    const response = await call("/v1/chat/completions", { ...body, stream: true, x_rung: { drafts: true } }, asking.signal);
    if (!response.ok) return fail((await response.json()).error.message);
    for await (const event of events(response)) step(event);
  } catch (error) {
    fail(error.name === "AbortError" ? "Stopped." : "The connection was lost.");
  } finally {
    asking = null;
    $("ask").disabled = false;
    $("stop").hidden = true;
  }
}

function begin() {
  $("climb").hidden = false;
  $("attempts").replaceChildren();
  $("answer").hidden = true;
  $("answer").textContent = "";
  say("Waiting for a tier.");
  $("ask").disabled = true;
  $("stop").hidden = false;
}

function say(text, wrong) {
  if ($("said").textContent !== text) $("said").textContent = text;
  $("said").className = wrong ? "said error" : "said";
}

function fail(text) {
  for (const word of document.querySelectorAll("#attempts .word.busy")) mark(word, "stopped", "bad");
  $("answer").hidden = true;
  say(text, true);
}

function step({ name, data }) {
  if (data.error) return fail(data.error.message);
  if (name === "x_rung.draft") {
    attempt(data.attempt, data.tier).querySelector(".draft").append(data.text);
    return say(`${data.tier} is writing.`);
  }
  if (name === "x_rung.withdrawn") {
    const row = attempt(data.attempt, data.tier);
    row.className = "withdrawn";
    row.querySelector(".draft").classList.add("withdrawn-text");
    mark(row.querySelector(".word"), words(data.reason), "bad");
    return say(`The answer of ${data.tier} was withdrawn: ${words(data.reason)}.`);
  }
  if (name) return undefined;
  for (const choice of data.choices) $("answer").append(choice.delta.content || "");
  if (data.x_rung) end(data.x_rung);
  return undefined;
}

function attempt(number, name) {
  const id = `attempt-${number}`;
  if ($(id)) return $(id);
  const row = make("li");
  row.id = id;
  const head = make("div");
  head.append(make("span", name, "name"), make("span", "writing", "word busy"));
  row.append(head, make("div", undefined, "draft"));
  $("attempts").append(row);
  return row;
}

function mark(word, text, kind) {
  word.textContent = text;
  word.className = `word ${kind}`;
}

function end(told) {
  for (const it of told.attempts) {
    const row = attempt(it.number, it.tier);
    const good = it.verdict === "accept";
    row.className = good ? "accepted" : "withdrawn";
    mark(row.querySelector(".word"), words(it.reason), good ? "good" : "bad");
    if (good) row.querySelector(".draft").remove(); // it stands below, as the answer
  }
  $("answer").hidden = $("answer").textContent === "";
  const left = { true: "The prompt left this machine", false: "Nothing left this machine" }[told.left_machine] || "Whether the prompt left this machine isn’t known";
  const price = told.cost_usd ? `, for $${told.cost_usd}` : "";
  const by = told.status === "accepted" ? `Answered by ${told.tier}` : "Not accepted";
  const vouched = told.checked_by.length ? `, vouched for by ${told.checked_by.join(", ")}` : "";
  say(`${by} in ${told.seconds.toFixed(2)} s${vouched}. ${left}${price}.`);
}

$("try").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!asking) ask();
});
$("stop").addEventListener("click", () => asking && asking.abort());
$("door-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  sessionStorage.setItem(KEY, token);
  $("door-error").textContent = "";
  watch();
});

if (token) watch();
else askForToken("");
