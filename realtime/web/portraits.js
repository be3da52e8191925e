// SPDX-License-Identifier: MIT
// Choosing and adding portraits. Knows no camera and no picture.

const LONGEST_LABEL = 26;

export class Portraits {
  // choose(index), say(line, isProblem)
  constructor({ list, input, dropzone, choose, say }) {
    this.list = list;
    this.choose = choose;
    this.say = say;
    this.dropzone = dropzone;
    this.shown = "";
    this.limit = Infinity;
    input.addEventListener("change", () => {
      if (input.files.length) this.upload(input.files[0]);
      input.value = "";
    });
    this.list.addEventListener("keydown", (event) => this.walk(event));
    this.acceptDrops();
  }

  update(state) {
    this.limit = state.upload_limit;
    const shown = JSON.stringify(state.portraits);
    if (shown !== this.shown) this.rebuild(state.portraits);
    this.shown = shown;
    [...this.list.children].forEach((button, index) => {
      const chosen = index === state.portrait;
      button.setAttribute("aria-checked", String(chosen));
      button.tabIndex = chosen || (state.portrait < 0 && index === 0) ? 0 : -1;
    });
    this.list.classList.toggle("busy", state.enrolling !== "");
    this.list.setAttribute("aria-busy", String(state.enrolling !== ""));
  }

  rebuild(portraits) {
    this.list.replaceChildren(
      ...portraits.map(({ name, key }, index) => {
        const button = document.createElement("button");
        button.type = "button";
        button.setAttribute("role", "radio");
        button.setAttribute("aria-label", `${index + 1}: ${name}`);
        button.title = name;
        const image = document.createElement("img");
        image.alt = "";
        image.loading = "lazy";
        image.src = `/portraits/${index}.jpg?key=${key}`;
        image.addEventListener("error", () => image.remove());
        const label = document.createElement("span");
        label.textContent = name.length > LONGEST_LABEL ? `${name.slice(0, LONGEST_LABEL - 1)}…` : name;
        button.append(image, label);
        if (index < 9) {
          const key = document.createElement("kbd");
          key.textContent = String(index + 1);
          button.append(key);
        }
        button.addEventListener("click", () => this.choose(index));
        return button;
      }),
    );
  }

  walk(event) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const buttons = [...this.list.children];
    const here = buttons.indexOf(document.activeElement);
    if (!step || here < 0) return;
    event.preventDefault();
    const next = (here + step + buttons.length) % buttons.length;
    buttons[next].focus();
    this.choose(next);
  }

  async upload(file) {
    if (file.size > this.limit) {
      const most = Math.round(this.limit / 1e6);
      this.say(`${file.name} has ${Math.round(file.size / 1e6)} MB, expected at most ${most} MB; choose a smaller photo`, true);
      return;
    }
    this.say(`Preparing ${file.name} …`, false);
    try {
      const address = `/portraits?name=${encodeURIComponent(file.name)}`;
      const response = await fetch(address, { method: "POST", body: file });
      const answer = await response.json();
      if (answer.error) this.say(answer.error, true);
    } catch {
      this.say("The upload broke off. Check that facepuppet is still running, then try again.", true);
    }
  }

  acceptDrops() {
    let depth = 0; // enter and leave also fire for every element on the way
    const carriesFile = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
    const show = (on) => {
      this.dropzone.hidden = !on;
    };
    addEventListener("dragenter", (event) => {
      if (carriesFile(event)) show(++depth > 0);
    });
    addEventListener("dragleave", (event) => {
      if (carriesFile(event)) show(--depth > 0);
    });
    addEventListener("dragover", (event) => event.preventDefault());
    addEventListener("drop", (event) => {
      event.preventDefault();
      depth = 0;
      show(false);
      if (event.dataTransfer.files.length) this.upload(event.dataTransfer.files[0]);
    });
  }
}
