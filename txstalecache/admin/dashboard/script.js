// The page: what the admin interface tells, into its places. Text from outside goes in as text, never as markup.
import { Chart } from "./dashboard.chart.js";
import { count, rate, share, size, span } from "./dashboard.figures.js";
import { Admin, Refused } from "./dashboard.stream.js";

const KEPT = "txstalecache-token";
const VERDICTS = ["fresh", "stale", "validate", "miss", "pass", "refuse"];
const PERCENTILES = ["p50", "p90", "p99"];
const SHOWN = 8; // fetches in the list
const LANDED = 4000; // ms that a fetch is still shown after it ended
const $ = (id) => document.getElementById(id);

function element(name, { class: kind, text, ...attributes } = {}, ...children) {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const put = (id, text) => {
  if ($(id).textContent !== text) $(id).textContent = text;
};

const requests = new Chart($("requests"), VERDICTS, { stacked: true, seconds: 120, said: rate });
const latency = new Chart($("latency"), PERCENTILES, { stacked: false, seconds: 120, said: span });

let admin = null;
let leaving = new AbortController();

// -- signing in and out ------------------------------------------------------------------------------------------------

function open(token) {
  sessionStorage.setItem(KEPT, token);
  admin = new Admin(token);
  leaving = new AbortController();
  $("door").hidden = true;
  $("leave").hidden = false;
  $("refused").textContent = "";
  watch(admin, leaving.signal);
}

function close(why = "") {
  leaving.abort();
  admin = null;
  sessionStorage.removeItem(KEPT);
  $("board").hidden = $("leave").hidden = true;
  $("door").hidden = false;
  $("refused").textContent = why;
  link("off", "Not connected");
  $("token").value = "";
  $("token").focus();
}

function link(state, text) {
  $("link").dataset.state = state;
  put("link", text);
  $("board").toggleAttribute("data-old", state === "lost");
}

// -- the stream --------------------------------------------------------------------------------------------------------

async function watch(admin, stop) {
  for (let tries = 0; !stop.aborted; tries++) {
    try {
      await admin.listen((name, said) => {
        tries = 0;
        if (name === "status") show(said);
        if (name === "flight") flightsSoon();
      }, stop);
    } catch (error) {
      if (stop.aborted) return;
      if (error instanceof Refused && error.status === 401) return close("That is not the token.");
    }
    if (stop.aborted) return;
    // 1, 2, 4, … 15 s, and a little by chance: not every page at once when the proxy is back.
    const pause = Math.min(15, 2 ** Math.min(tries, 4)) * (0.8 + 0.4 * Math.random());
    link("lost", `Connection lost: trying again in ${Math.max(1, Math.round(pause))} s`);
    await new Promise((resume) => {
      const timer = setTimeout(resume, pause * 1000);
      stop.addEventListener("abort", () => (clearTimeout(timer), resume()), { once: true });
    });
  }
}

function show(said) {
  if (said.problem !== undefined) return link("lost", said.problem);
  $("board").hidden = false;
  link("on", "Live");
  const { host, pid, worker } = said.process ?? {};
  const who = `process ${pid}${worker == null ? "" : `, worker ${worker}`} on ${host}`;
  put("who", `${said.version} · up ${span(said.uptime)} · ${said.covers === "process" ? who : `all ${said.covers}, told by ${who}`}`);
  put("n-rate", rate(said.rates?.requests_per_second));
  put("n-ratio", share(said.hit_ratio));
  put("n-saved", count(said.origin_saved));
  put("n-median", span(said.latency?.p50));
  put("n-waiting", count(said.waiting));
  put("n-flights", count(said.flights));
  for (const [id, number] of [["n-waiting", said.waiting], ["n-flights", said.flights]])
    $(id).parentElement.toggleAttribute("data-busy", number > 0);
  showRates(said.rates?.by_verdict ?? {});
  showLatency(said.latency ?? {});
  showHealth(said);
  if (said.flights > 0 || flights.size) flightsSoon();
  if (performance.now() - topAt > 3000) showTop();
}

function showRates(by) {
  const known = Object.fromEntries(VERDICTS.map((name) => [name, by[name] ?? 0]));
  requests.add(known);
  $("requests").setAttribute("aria-label", VERDICTS.map((name) => `${name} ${rate(known[name])}`).join(", "));
  legend("legend", VERDICTS.map((name) => [name, rate(known[name])]));
}

function showLatency(said) {
  latency.add(said);
  const told = PERCENTILES.map((name) => [name, span(said[name])]);
  $("latency").setAttribute("aria-label", told.map((pair) => pair.join(" ")).join(", "));
  legend("percentiles", told);
}

function legend(id, pairs) {
  $(id).replaceChildren(...pairs.map(([name, figure]) =>
    element("li", {}, element("i", { class: name, "aria-hidden": "true" }), element("span", { text: name }), element("b", { text: figure }))));
}

function showHealth({ upstreams = [], store = {}, memory = {} }) {
  const rows = [];
  const row = (well, name, word, detail) =>
    rows.push(element("li", { "data-state": well ? "good" : "bad" },
      element("span", { class: "name" }, element("span", { class: "word", text: word }), ` · ${name}`),
      element("small", { text: detail })));
  for (const { name, servers = [] } of upstreams)
    for (const { address, healthy, open, waiting } of servers)
      row(healthy, name === address ? name : `${name}, ${address}`, healthy ? "Up" : "Down", `${count(open)} connections, ${count(waiting)} waiting for one`);
  const details = [];
  if (store.breaker_open) details.push("breaker open");
  if (store.tracking != null) details.push(store.tracking ? "told of changes at once" : "not told of changes");
  row(!store.degraded, store.describe ?? "store", store.degraded ? "Degraded" : "Up", details.join(", "));
  $("health").replaceChildren(...rows);
  $("memory").value = memory.limit ? Math.min(1, memory.bytes / memory.limit) : 0;
  put("memory-said", `${size(memory.bytes)} of ${size(memory.limit)}, ${count(memory.entries)} entries`);
}

// -- fetches in the air ------------------------------------------------------------------------------------------------

const flights = new Map(); // key and beginning -> {said, most, landed, row}
let flightsTimer = null;

function flightsSoon() {
  flightsTimer ??= setTimeout(async () => {
    try {
      showFlights((await admin.ask("v1/flights")).flights);
    } catch {
      // the stream tells when the connection is lost
    }
    flightsTimer = null;
  }, 150);
}

function showFlights(all) {
  const now = performance.now();
  const seen = new Set();
  for (const said of all.slice(0, 50)) {
    const began = Math.round((now / 1000 - said.age) / 2); // of one key there are two at most, seconds apart
    const name = [said.key, said.url, said.leader?.pid].join(" ");
    const id = [0, -1, 1].map((off) => `${name} ${began + off}`).find((one) => flights.get(one)?.landed === null) ?? `${name} ${began}`;
    seen.add(id);
    const flight = flights.get(id) ?? { most: 0, row: element("li", {}, element("span", { class: "url" }), element("span", { class: "state" }), element("span", { class: "crowd" }, element("span", { class: "dots", "aria-hidden": "true" }), element("span"))) };
    flight.most = Math.max(flight.most, (said.waiters ?? 0) + (said.readers ?? 0));
    Object.assign(flight, { said, landed: null });
    flights.set(id, flight);
  }
  for (const [id, flight] of flights) {
    if (!seen.has(id)) flight.landed ??= now;
    if (flight.landed !== null && now - flight.landed > LANDED) flights.delete(id);
    else draw(flight);
  }
  const order = [...flights.values()].sort((one, other) => (one.landed ?? Infinity) - (other.landed ?? Infinity)).reverse();
  $("flights").replaceChildren(...order.slice(0, SHOWN).map(({ row }) => row));
  put("more", order.length > SHOWN ? `and ${count(order.length - SHOWN)} more` : "");
  $("calm").hidden = flights.size > 0;
}

function draw({ said, most, landed, row }) {
  const [url, state, crowd] = row.children;
  const clients = most === 1 ? "1 client" : `${count(most)} clients`;
  row.classList.toggle("landed", landed !== null);
  url.textContent = said.url ?? said.key;
  state.textContent = landed !== null ? "landed" : `${said.state} · ${span(said.age)}`;
  crowd.children[0].style.width = `${Math.min(most, 200) * 10}px`;
  crowd.children[1].textContent = most ? `${clients}, one fetch` : said.refresh ? "a refresh: nobody waits" : "";
}

// -- top keys ----------------------------------------------------------------------------------------------------------

let topAt = 0;

async function showTop() {
  topAt = performance.now();
  let top;
  try {
    ({ top } = await admin.ask(`v1/top?by=${encodeURIComponent($("by").value)}&limit=10`));
  } catch {
    return;
  }
  // Not while the keyboard is in it: the row that is pointed at would be gone.
  if ($("top").contains(document.activeElement) && document.activeElement.matches(":focus-visible")) return;
  $("top").replaceChildren(...top.map((key) => {
    const url = element("button", { class: "url", type: "button", text: key.url, title: "Explain" });
    url.addEventListener("click", () => {
      $("url").value = key.url;
      $("explain").requestSubmit();
      $("h-explain").scrollIntoView({ block: "start" });
    });
    const number = (text) => element("td", { class: "n", text });
    return element("tr", {}, element("td", {}, url), number(count(key.hits)), number(count(key.misses)), number(size(key.bytes)), number(count(key.waiters)));
  }));
  $("top-none").hidden = top.length > 0;
}

// -- forms -------------------------------------------------------------------------------------------------------------

function problem(error) {
  if (error instanceof Refused && error.status === 401) close("That is not the token.");
  return error instanceof Refused ? error.message : "No answer from the proxy.";
}

async function explain(event) {
  event.preventDefault();
  const fields = {};
  for (const line of $("fields").value.split("\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) fields[line.slice(0, colon).trim()] = line.slice(colon + 1).trim();
  }
  const verdict = $("verdict");
  verdict.hidden = false;
  try {
    const said = await admin.ask("v1/explain", { url: $("url").value, method: $("method").value, fields });
    delete verdict.dataset.state;
    verdict.replaceChildren(element("b", { text: said.verdict }), said.why ? `, because: ${said.why}` : "", ` (route ${said.route ?? "–"})`);
    $("steps").replaceChildren(...said.steps.map(({ step, outcome, rule, section }) =>
      element("li", {},
        element("span", { class: "step", text: step }),
        element("span", { class: "outcome-said", text: outcome }),
        ...(rule || section ? [element("span", { class: "rule" }, `${rule ?? ""} `, element("span", { class: "section", text: section ?? "" }))] : []))));
  } catch (error) {
    verdict.dataset.state = "bad";
    verdict.textContent = problem(error);
    $("steps").replaceChildren();
  }
}

const VALUES = { url: ["URL", "http://example.org/path"], prefix: ["Path, or URL", "http://example.org/blog/"], host: ["Host", "example.org"], tag: ["Tag", "blue"] };

function scoped() {
  const all = $("scope").value === "all";
  $("valued").hidden = all;
  $("value").required = !all;
  $("sure").hidden = !all;
  $("certain").checked = false;
  if (all) return;
  const [name, example] = VALUES[$("scope").value];
  put("value-name", name);
  $("value").placeholder = example;
}

async function purge(event) {
  event.preventDefault();
  const scope = $("scope").value, mode = $("purge").elements.mode.value, dry = event.submitter?.name === "dry";
  const outcome = $("purged");
  const tell = (state, text) => ((outcome.dataset.state = state), (outcome.textContent = text));
  if (scope === "all" && !dry && !$("certain").checked) return tell("bad", "Everything? Say so with the box above.");
  const order = { scope, mode, dry, ...(scope === "all" ? {} : { value: $("value").value }) };
  try {
    const said = await admin.ask("v1/purge", order);
    const known = said.count == null ? "" : `, ${count(said.count)} ${said.whole ? "stored" : "in memory and any that only Redis has"}`;
    if (dry) return tell("good", `Would be purged${known}.`);
    const where = said.everywhere ? "everywhere" : "here; elsewhere when Redis is back";
    tell("good", `${mode === "hard" ? "Gone" : "Stale"} ${where}${known}${said.refreshing ? "; being fetched anew" : ""}.`);
  } catch (error) {
    tell("bad", problem(error));
  }
}

$("door").addEventListener("submit", (event) => (event.preventDefault(), open($("token").value.trim())));
$("leave").addEventListener("click", () => close());
$("explain").addEventListener("submit", explain);
$("purge").addEventListener("submit", purge);
$("scope").addEventListener("change", scoped);
$("by").addEventListener("change", showTop);
scoped();

// What follows # is never sent anywhere: a link with the token in it opens the page, and loses it at once.
const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) history.replaceState(null, "", location.pathname);
const token = given ?? sessionStorage.getItem(KEPT);
if (token) open(token);
else $("door").hidden = false;
