// SPDX-License-Identifier: MIT
// The hot keys, the same as in the window. Knows the commands' names only.

export const KEYS = [
  { key: "1", shown: "1 – 9", help: "portrait 1 to 9", portrait: 0 },
  ...[2, 3, 4, 5, 6, 7, 8, 9].map((number) => ({ key: String(number), portrait: number - 1 })),
  { key: "a", help: "previous portrait", command: "previous" },
  { key: "d", help: "next portrait", command: "next" },
  { key: "l", help: "look again into the portrait folders", command: "reload" },
  { key: "x", help: "calibrate: this is my face at rest", command: "calibrate" },
  { key: "f", help: "find the best moment to calibrate", command: "find" },
  { key: "0", help: "show my camera instead", toggle: "passthrough" },
  { key: "w", help: "zoom in", command: "zoom_in" },
  { key: "s", help: "zoom out", command: "zoom_out" },
  { key: "u", shown: "U H J K", help: "move the part that is shown; finely with Shift", command: "move", value: "up" },
  { key: "h", command: "move", value: "left" },
  { key: "j", command: "move", value: "down" },
  { key: "k", command: "move", value: "right" },
  { key: "U", command: "move", value: "up_fine" },
  { key: "H", command: "move", value: "left_fine" },
  { key: "J", command: "move", value: "down_fine" },
  { key: "K", command: "move", value: "right_fine" },
  { key: "Z", shown: "Shift Z", help: "reset zoom and crop", command: "reset_crop" },
  { key: "r", help: "mirror my movement", toggle: "mirror" },
  { key: "t", help: "flip the picture", toggle: "flip" },
  { key: "+", help: "more movement", gain: 0.1 },
  { key: "-", help: "less movement", gain: -0.1 },
  { key: "]", help: "smoother", smoothing: 0.25 },
  { key: "[", help: "quicker", smoothing: -0.25 },
  { key: "b", help: "badge", toggle: "badge" },
  { key: "i", help: "statistics", local: "figures" },
  { key: "?", help: "this list", local: "keys" },
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
      key.textContent = entry.shown || entry.key.toUpperCase();
      term.append(key);
      const text = document.createElement("dd");
      text.textContent = entry.help;
      row.append(term, text);
      return row;
    }),
  );
}
