// SPDX-License-Identifier: MIT
// Commands out, state in, and the sliders and switches between them. Knows no picture and no camera.

import { socketAddress } from "/live.js";

const RETRY_MS = 1000;
const HANDS_OFF_MS = 700; // a control just moved by hand is not moved back by a state from before

export class Control {
  // onState(state), onError(line), onLink("live" | "lost")
  constructor({ onState, onError, onLink }) {
    this.onState = onState;
    this.onError = onError;
    this.onLink = onLink;
    this.socket = null;
    this.number = 0;
    this.state = null;
  }

  connect() {
    const socket = new WebSocket(socketAddress("/control"));
    this.socket = socket;
    socket.addEventListener("open", () => this.onLink("live"));
    socket.addEventListener("message", (event) => {
      const message = JSON.parse(event.data);
      if (message.state) {
        this.state = message.state;
        this.onState(message.state);
      } else if (message.error) this.onError(message.error);
    });
    socket.addEventListener("close", () => {
      this.onLink("lost");
      setTimeout(() => this.connect(), RETRY_MS);
    });
  }

  send(command, value = null) {
    if (this.socket.readyState !== WebSocket.OPEN) return;
    this.socket.send(JSON.stringify({ do: command, value, number: ++this.number }));
  }
}

// Sliders and switches that carry data-command; one command while a slider moves, the last value always.
export class Knobs {
  constructor(root, control) {
    this.control = control;
    this.touched = new Map(); // element -> when it was last moved by hand
    this.sliders = [...root.querySelectorAll("input[type=range][data-command]")];
    this.switches = [...root.querySelectorAll("input[type=checkbox][data-command]")];
    for (const slider of this.sliders) slider.addEventListener("input", () => this.slide(slider));
    for (const box of this.switches) {
      box.addEventListener("change", () => this.touch(box, () => control.send(box.dataset.command, box.checked)));
    }
  }

  slide(slider) {
    this.touch(slider, () => this.control.send(slider.dataset.command, Number(slider.value)));
    show(slider, Number(slider.value));
  }

  set(command, value) {
    const slider = this.sliders.find((each) => each.dataset.command === command);
    const { min, max } = slider;
    slider.value = String(Math.min(Number(max), Math.max(Number(min), value)));
    this.slide(slider);
  }

  reset() {
    for (const slider of this.sliders) this.set(slider.dataset.command, 1);
  }

  touch(element, send) {
    this.touched.set(element, performance.now());
    send();
  }

  update(state) {
    const now = performance.now();
    const free = (element) => now - (this.touched.get(element) ?? -Infinity) > HANDS_OFF_MS;
    for (const slider of this.sliders.filter(free)) {
      const [kind, region] = slider.dataset.command.split(".");
      const value = kind === "gain" ? state.gains[region] : state.smoothing;
      if (value === undefined) continue;
      slider.value = String(value);
      show(slider, value);
    }
    for (const box of this.switches.filter(free)) box.checked = Boolean(state.modes[box.dataset.command]);
  }
}

function show(slider, value) {
  slider.nextElementSibling.textContent = value.toFixed(2);
  slider.style.setProperty("--part", `${(100 * (value - slider.min)) / (slider.max - slider.min)}%`);
}
