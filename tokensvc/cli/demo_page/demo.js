// The demo's page: signs in at "your app", asks tokensvc for an auth token, draws what travelled.
"use strict";

const ADVICE = {
  retry: "retry: wait as long as retryAfter says, then ask again.",
  reauthenticate: "reauthenticate: get a new session token from your app, then ask again.",
  stop: "stop: asking again does not help; tell the user, and your operators.",
};
const LANES = ["browser", "your app", "tokensvc", "CometChat"];
const [BROWSER, APP, SERVICE, VENDOR] = [0, 1, 2, 3];
const SHOWN_HEADERS = ["RateLimit-Policy", "RateLimit", "Retry-After", "X-Request-Id"];
const MOST_TRIES = 25;
const find = (selector) => document.querySelector(selector);

let place = {};

async function timed(act) {
  const started = performance.now();
  const value = await act();
  return { value, took: performance.now() - started };
}

async function signIn(user, kind) {
  const answer = await fetch("sign-in", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ user, kind }),
  });
  if (!answer.ok) throw new Error((await answer.json()).error);
  return (await answer.json()).sessionToken;
}

async function askForToken(sessionToken) {
  const answer = await fetch(place.endpoint, {
    method: "POST",
    headers: { Authorization: `Bearer ${sessionToken}` },
  });
  return { answer, body: await answer.json() };
}

async function login(user, kind = "good") {
  document.querySelectorAll("button").forEach((button) => { button.dataset.was = button.disabled; button.disabled = true; });
  try {
    const session = await timed(() => signIn(user, kind));
    let asked = await timed(() => askForToken(session.value));
    let tries = 1;
    while (kind === "over-the-limit" && asked.value.answer.status === 201 && tries < MOST_TRIES) {
      asked = await timed(() => askForToken(session.value));
      tries += 1;
    }
    draw(user, session, asked, tries);
  } catch (error) {
    fail(error);
  } finally {
    document.querySelectorAll("button").forEach((button) => { button.disabled = button.dataset.was === "true"; });
  }
}

function draw(user, session, asked, tries) {
  const { answer, body } = asked.value;
  const good = answer.status === 201;
  const steps = [
    { from: BROWSER, to: APP, label: `POST /sign-in as ${user}` },
    { from: APP, to: BROWSER, label: "session token (a JWT that your app signs)", took: session.took, tone: "good" },
    { from: BROWSER, to: SERVICE, label: `POST /v1/auth-tokens, Authorization: Bearer …${tries > 1 ? ` (request ${tries})` : ""}` },
    ...serverSteps(answer.headers.get("Server-Timing") || ""),
    { from: SERVICE, to: BROWSER, label: `${answer.status} ${good ? "auth token" : body.code}`, took: asked.took, tone: good ? "good" : "bad" },
  ];
  if (good) steps.push({ from: BROWSER, to: VENDOR, label: "next, in your client: CometChat.login(authToken)" });
  find("#steps").replaceChildren(lanes(), ...steps.map(step));
  find("#status").textContent = answer.status;
  find("#status").className = `status ${good ? "good" : "bad"}`;
  find("#advice").textContent = good ? "Hand authToken, appId and region to CometChat's SDK." : ADVICE[body.action];
  find("#body").textContent = JSON.stringify(body, null, 2);
  find("#headers").replaceChildren(...SHOWN_HEADERS.filter((name) => answer.headers.get(name)).flatMap((name) => [
    element("dt", name), element("dd", answer.headers.get(name)),
  ]));
  conclude(good ? `201: ${body.uid} has an auth token` : `${answer.status} ${body.code}: ${body.action}`, good);
}

// On a phone the form fills the screen: whoever pressed a button is taken to what came of it.
function conclude(text, good) {
  find("#outcome").textContent = text;
  find("#outcome").className = `outcome ${good ? "good" : "bad"}`;
  find("#travelled").scrollIntoView({ block: "start" });
}

function serverSteps(timing) {
  return timing.split(/,\s*/).filter(Boolean).map((entry) => {
    const [name, ...parts] = entry.split(";");
    const facts = Object.fromEntries(parts.map((part) => part.split("=")));
    return { name, took: Number(facts.dur), outcome: (facts.desc || "").replaceAll('"', "") };
  }).filter(({ name }) => name !== "total").flatMap(({ name, took, outcome }) => (
    name === "verify"
      ? [{ from: SERVICE, to: SERVICE, label: "session token verified", took, tone: "good" }]
      : [{ from: SERVICE, to: VENDOR, label: name.replaceAll("_", " ") },
         { from: VENDOR, to: SERVICE, label: outcome === "ok" ? "done" : outcome, took, tone: outcome === "ok" ? "good" : "bad" }]
  ));
}

function lanes() {
  const row = element("div", "", "lanes");
  row.append(...LANES.map((name) => element("span", name)));
  return row;
}

function step({ from, to, label, took, tone = "" }) {
  const row = element("div", "", `step ${tone}`);
  const what = element("div", "", "what");
  what.append(element("span", label, "label"), element("span", took === undefined ? "" : `${took.toFixed(1)} ms`, "took"));
  const track = element("div", "", "track");
  const [left, right] = [Math.min(from, to), Math.max(from, to)];
  const mark = element("div", "", from === to ? "dot" : `arrow ${from < to ? "right" : "left"}`);
  mark.style.gridColumn = `${left + 1} / ${right + 2}`;
  mark.style.setProperty("--span", right - left + 1);
  track.append(mark);
  row.append(what, track);
  return row;
}

function fail(error) {
  find("#steps").replaceChildren();
  conclude(`The page could not finish: ${error.message}`, false);
  for (const selector of ["#status", "#advice", "#body"]) find(selector).textContent = "";
  find("#headers").replaceChildren();
}

function element(name, text, className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function choose(user) {
  find("#user").value = user;
  mark();
}

function mark() {
  document.querySelectorAll("[data-user]").forEach((button) => {
    button.setAttribute("aria-pressed", String(button.dataset.user === find("#user").value));
  });
}

async function start() {
  place = await (await fetch("place")).json();
  find("#target").textContent = `tokensvc: ${place.endpoint} — CometChat: ${place.cometchat}`;
  const deactivated = find('[data-refusal="deactivated"]');
  if (!place.deactivatedUser) deactivated.title = "With the emulator only";
  find("#login").addEventListener("submit", (event) => { event.preventDefault(); login(find("#user").value); });
  find("#user").addEventListener("input", mark);
  document.querySelectorAll("[data-user]").forEach((button) => button.addEventListener("click", () => choose(button.dataset.user)));
  find('[data-refusal="expired"]').addEventListener("click", () => login(find("#user").value, "expired"));
  find('[data-refusal="over-the-limit"]').addEventListener("click", () => login("hasty", "over-the-limit"));
  deactivated.addEventListener("click", () => login(place.deactivatedUser));
  mark();
  // Only now: whoever is quicker than the page would press a button that does nothing.
  document.querySelectorAll("button").forEach((button) => { button.disabled = false; });
  deactivated.disabled = !place.deactivatedUser;
}

start().catch(fail);
