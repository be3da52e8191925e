// SPDX-License-Identifier: MIT
// The hot keys, the same as in the window: the program's own table, which the page carries.

const KEYS = [
  ...JSON.parse(document.getElementById("key-list").dataset.keys),
  { key: "?", shown: "?", help: "this list", do: "keys" },
];
const byKey = new Map(KEYS.map((entry) => [entry.key, entry]));

// Calls press(entry) for a hot key, unless the key belongs to the control that has the focus.
export function listen(press) {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const target = event.target;
    if (target.closest("dialog, select, textarea, [contenteditable]")) return;
    if (target.matches("input:not([type=range]):not([type=checkbox]):not([type=file])")) return;
    const entry = byKey.get(event.key) || byKey.get(event.key.toLowerCase());
    if (!entry) return;
    event.preventDefault();
    press(entry);
  });
}

export function describe(list) {
  list.replaceChildren(
    ...KEYS.filter((entry) => entry.help).map((entry) => {
      const row = document.createElement("div");
      const term = document.createElement("dt");
      const key = document.createElement("kbd");
      key.textContent = entry.shown;
      term.append(key);
      const text = document.createElement("dd");
      text.textContent = entry.help;
      row.append(term, text);
      return row;
    }),
  );
}

// Writes each command's key beside its button or switch.
export function label(root) {
  for (const element of root.querySelectorAll("[data-command]")) {
    const entry = KEYS.find((each) => each.do === element.dataset.command && each.value === null);
    if (!entry) continue;
    element.setAttribute("aria-keyshortcuts", entry.shown.replace("-", "+"));
    const place = element.closest("label") || (element.hasAttribute("aria-label") ? null : element);
    if (!place || entry.shown.length > 1) continue;
    const key = document.createElement("kbd");
    key.textContent = entry.shown;
    place.append(" ", key);
  }
}
