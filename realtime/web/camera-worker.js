// SPDX-License-Identifier: MIT
// Encodes camera pictures and sends them, away from the page's thread: a worker is not slowed down when the
// tab is hidden behind a meeting. Knows no page. One picture waits, at most two are under way.

const JPEG_QUALITY = 0.85;
const MOST_UNDER_WAY = 2;
const TICK_MS = 33;

let socket = null;
let waiting = null; // {bitmap, taken}: the newest picture not yet sent
let encoding = false;
const underWay = []; // when each unanswered picture was taken, oldest first
const canvas = new OffscreenCanvas(1, 1);
const context = canvas.getContext("2d", { alpha: false });

setInterval(() => postMessage({ kind: "tick" }), TICK_MS);

addEventListener("message", ({ data }) => {
  if (data.kind === "open") open(data.address);
  else if (data.kind === "close") close();
  else if (data.kind === "picture") offer(data);
});

function open(address) {
  close();
  const opened = new WebSocket(address);
  socket = opened;
  opened.addEventListener("open", () => postMessage({ kind: "open" }));
  opened.addEventListener("message", (event) => {
    const answer = JSON.parse(event.data);
    const taken = underWay.shift();
    if (answer.refused) postMessage({ kind: "refused", line: answer.refused });
    else postMessage({ kind: "arrived", taken, captured: answer.captured_s });
    send();
  });
  opened.addEventListener("close", (event) => {
    if (socket !== opened) return;
    socket = null;
    underWay.length = 0;
    postMessage({ kind: "closed", code: event.code });
  });
}

function close() {
  if (waiting) waiting.bitmap.close();
  waiting = null;
  underWay.length = 0;
  const closing = socket;
  socket = null;
  if (closing) closing.close();
}

function offer(picture) {
  if (waiting) waiting.bitmap.close();
  waiting = picture;
  send();
}

async function send() {
  if (!waiting || encoding || underWay.length >= MOST_UNDER_WAY) return;
  if (!socket || socket.readyState !== WebSocket.OPEN) return;
  const { bitmap, taken } = waiting;
  waiting = null;
  encoding = true;
  try {
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
    const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: JPEG_QUALITY });
    if (socket && socket.readyState === WebSocket.OPEN) {
      underWay.push(taken);
      socket.send(blob);
    }
  } finally {
    encoding = false;
  }
  send();
}
