// SPDX-License-Identifier: MIT
// The browser's own camera: asks for it, shows it small, hands its pictures to the worker. Knows no session.

import { socketAddress } from "/live.js";

const WIDTH = 640;
const HEIGHT = 480;
const RETRY_MS = 1000;
const TAKEN = 4001; // close code: another page sends its camera now
const REMEMBER = 240; // pictures whose round trip may still end

const PROBLEMS = {
  NotAllowedError: "The camera is blocked. Allow it at the camera sign in the address bar, then start it again.",
  SecurityError: "The camera is blocked by the browser's settings. Allow cameras there, then start it again.",
  NotFoundError: "No camera was found. Plug one in, then start it again.",
  OverconstrainedError: "The chosen camera is gone. Choose another one and start it again.",
  NotReadableError: "The camera is in use by another program. Close that one, then start it again.",
  AbortError: "The camera could not be started. Unplug it, plug it in again and retry.",
};
const NOT_SECURE =
  "Browsers give a camera only to pages from this computer or over https. " +
  "Open the page on the computer itself, or through an SSH tunnel to localhost.";

export class BrowserCamera {
  // onChange() after a start, stop or new device list; onProblem(line), "" when it is over
  constructor(video, { onChange, onProblem }) {
    this.video = video;
    this.onChange = onChange;
    this.onProblem = onProblem;
    this.stream = null;
    this.worker = null;
    this.devices = [];
    this.sent = new Map(); // captured (server's clock) -> when it was taken (this page's clock)
    this.lastTime = -1;
    this.attempt = 0;
    if (navigator.mediaDevices) {
      navigator.mediaDevices.addEventListener("devicechange", () => this.list());
      this.list();
    }
  }

  get running() {
    return this.stream !== null;
  }

  async start(deviceId) {
    if (!navigator.mediaDevices) {
      this.onProblem(NOT_SECURE);
      return;
    }
    this.stop();
    const attempt = this.attempt; // a stop or another start meanwhile makes this one void
    let stream = null;
    try {
      const video = { width: { ideal: WIDTH }, height: { ideal: HEIGHT }, frameRate: { ideal: 30 } };
      if (deviceId) video.deviceId = { exact: deviceId };
      else video.facingMode = "user";
      stream = await navigator.mediaDevices.getUserMedia({ video, audio: false });
    } catch (error) {
      if (attempt !== this.attempt) return;
      this.onProblem(PROBLEMS[error.name] || `The camera could not be started (${error.message || error.name}).`);
      this.onChange();
      return;
    }
    if (attempt !== this.attempt) {
      for (const track of stream.getTracks()) track.stop();
      return;
    }
    this.stream = stream;
    this.onProblem("");
    for (const track of stream.getVideoTracks()) {
      track.addEventListener("ended", () => {
        if (this.stream !== stream) return;
        this.stop();
        this.onProblem("The camera was unplugged or taken away. Plug it in, then start it again.");
      });
    }
    this.video.srcObject = stream;
    await this.video.play().catch(() => {}); // a stream replaced while it starts; the next one plays
    if (attempt !== this.attempt) return;
    this.openWorker();
    this.list();
    this.onChange();
  }

  stop() {
    this.attempt += 1;
    if (this.stream) for (const track of this.stream.getTracks()) track.stop();
    this.stream = null;
    this.video.srcObject = null;
    if (this.worker) {
      this.worker.postMessage({ kind: "close" });
      this.worker.terminate();
      this.worker = null;
    }
    this.sent.clear();
    this.onChange();
  }

  // Milliseconds since the picture that was captured then was taken here; null when it was not taken here.
  roundTrip(captured) {
    const taken = this.sent.get(captured);
    return taken === undefined ? null : performance.now() - taken;
  }

  async list() {
    const all = await navigator.mediaDevices.enumerateDevices().catch(() => []);
    this.devices = all.filter((device) => device.kind === "videoinput" && device.deviceId);
    this.onChange();
  }

  get deviceId() {
    const track = this.stream && this.stream.getVideoTracks()[0];
    return track ? track.getSettings().deviceId || "" : "";
  }

  openWorker() {
    const worker = new Worker("/camera-worker.js");
    this.worker = worker;
    const address = socketAddress("/camera");
    worker.addEventListener("message", ({ data }) => {
      if (worker !== this.worker) return;
      if (data.kind === "tick") {
        if (document.hidden || !this.video.requestVideoFrameCallback) this.grab();
      } else if (data.kind === "arrived") this.remember(data.captured, data.taken);
      else if (data.kind === "refused") this.onProblem(`The server refused a picture: ${data.line}.`);
      else if (data.kind === "closed" && data.code === TAKEN) {
        this.stop();
        this.onProblem("Another page sends its camera now. Start this one to take over.");
      } else if (data.kind === "closed") {
        setTimeout(() => worker === this.worker && worker.postMessage({ kind: "open", address }), RETRY_MS);
      }
    });
    worker.postMessage({ kind: "open", address });
    this.follow(this.stream);
  }

  follow(stream) {
    if (!this.video.requestVideoFrameCallback) return;
    this.video.requestVideoFrameCallback(() => {
      if (stream !== this.stream) return;
      this.grab();
      this.follow(stream);
    });
  }

  async grab() {
    const { video, worker } = this;
    if (!worker || video.readyState < 2 || video.currentTime === this.lastTime) return;
    this.lastTime = video.currentTime;
    const taken = performance.now();
    const scale = Math.min(1, WIDTH / Math.max(video.videoWidth, video.videoHeight));
    const options = {
      resizeWidth: Math.max(16, Math.round(video.videoWidth * scale)),
      resizeHeight: Math.max(16, Math.round(video.videoHeight * scale)),
    };
    const bitmap = await createImageBitmap(video, scale < 1 ? options : {}).catch(() => null);
    if (!bitmap) return; // the stream stopped in this moment
    if (worker === this.worker) worker.postMessage({ kind: "picture", bitmap, taken }, [bitmap]);
    else bitmap.close();
  }

  remember(captured, taken) {
    this.sent.set(captured, taken);
    if (this.sent.size > REMEMBER) this.sent.delete(this.sent.keys().next().value);
  }
}
