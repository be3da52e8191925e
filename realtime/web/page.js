// SPDX-License-Identifier: MIT
// Ties the page together: picture, camera, portraits, controls, keys.

import { BrowserCamera } from "/camera.js";
import { Control, Knobs } from "/controls.js";
import { describe, label, listen } from "/keys.js";
import { LivePicture } from "/live.js";
import { Portraits } from "/portraits.js";

const $ = (id) => document.getElementById(id);
const LINE_MS = 6000; // how long an ordinary line stays; a problem stays until the next one
const TRIPS = 60; // round trips behind the shown median
const RESUME_MS = 3000; // after loading: the page before this one may still be on its way out
const BROWSER = "browser"; // the name of this page's camera among the server's sources

// The key in the address has done its work: a cookie has taken its place.
if (new URLSearchParams(location.search).has("token")) history.replaceState(null, "", location.pathname);

const links = { picture: "wait", control: "wait" };
const trips = [];
let state = null;
let seenMessage = null;
let seenSource = null;
let lineTimer = 0;
let resumeUntil = 0;
let selfWanted = localStorage.getItem("self-view") !== "off";

const control = new Control({ onState: update, onError: (line) => say(line, true), onLink: (now) => link("control", now) });
const knobs = new Knobs($("panel"), control);
const camera = new BrowserCamera($("self"), { onChange: showCamera, onProblem: showCameraProblem });
const picture = new LivePicture($("picture"), { onPicture: measure, onLink: (now) => link("picture", now) });
const portraits = new Portraits({
  list: $("portraits"),
  input: $("upload"),
  dropzone: $("dropzone"),
  choose: (index) => control.send("select", index),
  say,
});

// What the page says

function say(line, problem = false) {
  $("line").textContent = line;
  $("line").classList.toggle("bad", problem);
  clearTimeout(lineTimer);
  if (!problem && line) lineTimer = setTimeout(() => say(""), LINE_MS);
}

function link(which, now) {
  const before = links[which];
  links[which] = now;
  const both = Object.values(links);
  const shown = both.includes("lost") ? "lost" : both.includes("wait") ? "wait" : "live";
  $("link").dataset.state = shown;
  $("link-text").textContent = { lost: "Not connected", wait: "Connecting", live: "Live" }[shown];
  if (now === "lost" && before === "live") say("facepuppet stopped or cannot be reached; this page tries again by itself", true);
  else if (shown === "live" && $("line").classList.contains("bad")) say("");
}

function setText(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

// State of the session

function update(next) {
  const first = state === null;
  state = next;
  portraits.update(next);
  knobs.update(next);
  showFigures();
  showChoices();
  showCamera();
  setText("zoom", `${next.zoom.toFixed(1)}×`);
  if (seenMessage !== next.message.number && (!first || next.message.text)) say(next.message.text, !first && next.message.problem);
  seenMessage = next.message.number;
  if (seenSource !== null && seenSource !== next.source_message.number) say(next.source_message.text, true);
  seenSource = next.source_message.number;
  if (first) resumeUntil = performance.now() + RESUME_MS;
  if (performance.now() < resumeUntil && usesBrowser() && !next.camera_taken) {
    resumeUntil = 0;
    startIfAllowed();
  }
}

function showFigures() {
  const whole = (value) => (value === null ? "–" : value.toFixed(0));
  setText("figure-fps", state.fps === null ? "–" : `${state.fps.toFixed(1)} fps`);
  setText("figure-delay", `${whole(state.latency_p50_ms)} / ${whole(state.latency_p95_ms)} ms`);
  const middle = [...trips].sort((a, b) => a - b)[Math.floor(trips.length / 2)];
  setText("figure-trip", trips.length ? `${middle.toFixed(0)} ms` : "–");
  const all = state.delivered + state.dropped;
  setText("figure-drops", all ? `${state.dropped} (${((100 * state.dropped) / all).toFixed(1)} %)` : "0");
  setText("figure-face", state.face_found ? "found" : "not found");
  $("figure-face").classList.toggle("warn", !state.face_found);
  setText("figure-method", state.method);
}

function showChoices() {
  options($("method"), state.methods, (name) => name, state.method);
  $("method-row").hidden = state.methods.length < 2;
  const names = state.sources.length ? state.sources : state.camera ? [BROWSER] : [];
  options($("source"), names, (name) => (name === BROWSER ? "This browser's camera" : name), state.source || names[0] || "");
  $("source-row").hidden = names.length < 2;
  $("camera-group").hidden = names.length === 0;
}

function options(select, names, label, chosen) {
  const wanted = names.join("\n");
  if (select.dataset.names !== wanted) {
    select.replaceChildren(...names.map((name) => new Option(label(name), name)));
    select.dataset.names = wanted;
  }
  if (document.activeElement !== select && select.value !== chosen) select.value = chosen;
}

// Camera

function usesBrowser() {
  return Boolean(state && state.camera && (state.sources.length === 0 || state.source === BROWSER));
}

function showCamera() {
  const running = camera.running;
  $("camera").textContent = running ? "Stop my camera" : "Start my camera";
  $("camera").setAttribute("aria-pressed", String(running));
  $("camera").classList.toggle("primary", !running);
  $("browser-camera").hidden = !usesBrowser();
  $("self-toggle").hidden = !running;
  $("self-toggle").setAttribute("aria-pressed", String(selfWanted));
  $("self-box").hidden = !(running && selfWanted);
  $("welcome").hidden = !usesBrowser() || running || state.camera_fps > 0;
  showHint();
  const { devices } = camera;
  const device = $("device");
  const wanted = devices.map((each) => each.deviceId + each.label).join("\n");
  if (device.dataset.names !== wanted && devices.length) {
    const named = devices.map((each, index) => new Option(each.label || `Camera ${index + 1}`, each.deviceId));
    device.replaceChildren(...named);
    device.dataset.names = wanted;
    device.value = camera.deviceId || localStorage.getItem("device") || devices[0].deviceId;
    if (!device.value) device.selectedIndex = 0;
  }
}

function showHint() {
  if (!state) return;
  const watching = state.delivered > 0 && links.picture === "live" && $("welcome").hidden;
  const lost = watching && !state.face_found && !state.modes.passthrough;
  const absent = lost ? "No face in view: the portrait idles until you are back" : "";
  setText("hint", state.enrolling ? `Preparing ${state.enrolling} …` : state.slow || absent);
  $("hint").hidden = !$("hint").textContent;
}

function showCameraProblem(line) {
  for (const id of ["camera-problem", "welcome-problem"]) {
    $(id).textContent = line;
    $(id).hidden = !line;
  }
}

async function startCamera() {
  const chosen = $("device").value;
  const known = camera.devices.some((each) => each.deviceId === chosen && each.label);
  await camera.start(known ? chosen : "");
}

async function startIfAllowed() {
  try {
    const permission = await navigator.permissions.query({ name: "camera" });
    if (permission.state === "granted" && !camera.running) await startCamera();
  } catch {
    // this browser does not tell (Firefox before 131): the button asks
    showCamera();
  }
}

function measure({ captured }) {
  const trip = camera.roundTrip(captured);
  if (trip === null) {
    if (!camera.running) trips.length = 0;
    return;
  }
  trips.push(trip);
  if (trips.length > TRIPS) trips.shift();
}

function showSelf(on) {
  selfWanted = on;
  localStorage.setItem("self-view", on ? "on" : "off");
  showCamera();
}

$("camera").addEventListener("click", () => (camera.running ? camera.stop() : startCamera()));
$("welcome-start").addEventListener("click", startCamera);
$("self-toggle").addEventListener("click", () => showSelf(!selfWanted));
$("hide-self").addEventListener("click", () => showSelf(false));
$("device").addEventListener("change", () => {
  localStorage.setItem("device", $("device").value);
  if (camera.running) camera.start($("device").value);
});
$("source").addEventListener("change", () => {
  const name = $("source").value;
  control.send("source", name);
  if (name === BROWSER) startIfAllowed();
  else if (camera.running) camera.stop();
});

// Buttons

for (const button of document.querySelectorAll("button[data-command]")) {
  button.addEventListener("click", () => control.send(button.dataset.command));
}
$("reset").addEventListener("click", () => knobs.reset());
$("method").addEventListener("change", () => control.send("method", $("method").value));
$("show-figures").addEventListener("click", toggleFigures);
$("show-keys").addEventListener("click", () => $("keys").showModal());
$("full").addEventListener("click", () => {
  if (document.fullscreenElement) document.exitFullscreen();
  else $("stage").requestFullscreen().catch(() => say("this browser allows no full screen here", true));
});
$("copy").addEventListener("click", async () => {
  const address = new URL(state.picture_path, location.href).href;
  try {
    await navigator.clipboard.writeText(address);
    say("The address is copied. Whoever has it can see the picture.");
  } catch {
    say(address);
  }
});
$("save").addEventListener("click", () => {
  if (!picture.blob) return;
  const anchor = document.createElement("a");
  anchor.href = URL.createObjectURL(picture.blob); // as it came, with its mark
  anchor.download = "facepuppet.jpg";
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(anchor.href), 10000);
});

function toggleFigures() {
  const shown = $("figures").hidden;
  $("figures").hidden = !shown;
  $("show-figures").setAttribute("aria-pressed", String(shown));
}

// Keys

const LOCAL = { statistics: toggleFigures, keys: () => $("keys").showModal() };
listen((entry) => {
  if (!state) return;
  if (entry.do in LOCAL) LOCAL[entry.do]();
  else control.send(entry.do, entry.value);
});
label(document);
describe($("key-list"));

control.connect();
picture.connect();
// For tests and the curious: how many pictures were drawn, and how long they took from camera to canvas.
window.facepuppet = { drawn: () => picture.drawn, trips: () => [...trips], state: () => state };
