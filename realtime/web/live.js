// SPDX-License-Identifier: MIT
// The live picture: from the server to a canvas, newest first. Knows no control and no camera.

const HEADER_BYTES = 32; // sequence, width, height, 0: uint32; captured, encoded: float64; little-endian
const RETRY_MS = [300, 600, 1200, 2500];

export function socketAddress(path) {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;
}

export class LivePicture {
  // onPicture({sequence, captured}) after each drawn picture; onLink("live" | "lost")
  constructor(canvas, { onPicture, onLink }) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.onPicture = onPicture;
    this.onLink = onLink;
    this.failures = 0;
    this.drawn = 0;
    this.blob = null; // the newest picture, as it came
  }

  connect() {
    const socket = new WebSocket(socketAddress("/live"));
    socket.binaryType = "arraybuffer";
    socket.addEventListener("open", () => {
      this.failures = 0;
      this.onLink("live");
    });
    socket.addEventListener("message", (event) => this.show(socket, event.data));
    socket.addEventListener("close", () => {
      this.onLink("lost");
      const wait = RETRY_MS[Math.min(this.failures++, RETRY_MS.length - 1)];
      setTimeout(() => this.connect(), wait);
    });
  }

  async show(socket, message) {
    const header = new DataView(message, 0, HEADER_BYTES);
    const sequence = header.getUint32(0, true);
    try {
      const blob = new Blob([new Uint8Array(message, HEADER_BYTES)], { type: "image/jpeg" });
      const bitmap = await createImageBitmap(blob);
      if (this.canvas.width !== bitmap.width || this.canvas.height !== bitmap.height) {
        this.canvas.width = bitmap.width;
        this.canvas.height = bitmap.height;
      }
      this.context.drawImage(bitmap, 0, 0);
      bitmap.close();
      this.blob = blob;
      this.drawn += 1;
      this.onPicture({ sequence, captured: header.getFloat64(16, true) });
    } finally {
      // The answer asks for the next picture: the server sends none before it, so nothing piles up.
      if (socket.readyState === WebSocket.OPEN) socket.send(String(sequence));
    }
  }
}
