// SPDX-License-Identifier: Apache-2.0
// Theory of operation. One DeskSession is one person at one desktop: it connects noVNC's core, and when the stream
// drops it connects again with growing pauses, for as long as the page is there. The last picture stays behind the
// notice. While the computer is off, paused or failed it does not try: live.js tells when it runs again.
//
//   waiting -> connecting -> connected -> retrying -> connecting …
//                                      '-> closed (asked for)
import RFB from '@novnc/novnc';
import { signal } from '@preact/signals';
import { streamUrl } from '../lib/api.js';
import { backoff } from '../lib/state.js';

export const MODES = [
  { id: 'match', text: 'Match this window', hint: 'The desktop takes the size of the window.' },
  { id: 'scale', text: 'Scale the picture', hint: 'The desktop keeps its size and is drawn to fit.' },
  { id: 'real', text: 'Real size', hint: 'One to one; scroll by dragging at the edges.' },
];
export const QUALITIES = [
  { id: 'sharp', text: 'Sharp', hint: 'For a fast network.', quality: 9, compression: 1 },
  { id: 'balanced', text: 'Balanced', hint: 'Good on most networks.', quality: 6, compression: 2 },
  { id: 'light', text: 'Light', hint: 'Coarse pictures for a slow network.', quality: 2, compression: 7 },
];

const BLANK = 4000; // ms
const SAVED = 'portena.desktop';
function saved() {
  try {
    return JSON.parse(localStorage.getItem(SAVED)) ?? {};
  } catch {
    return {}; // no storage, or somebody wrote nonsense: defaults are fine
  }
}

export const touching = () => matchMedia('(pointer: coarse)').matches || navigator.maxTouchPoints > 0;

// On a phone a desktop of the screen's own size has no room for a window: it gets more points, drawn smaller. noVNC asks for as
// many as the element has. What is changed here are methods it calls its own: the version is pinned, and tests/browser watches.
const ROOM = 640; // points that the short side has at least
class Screen extends RFB {
  _requestRemoteResize() {
    const { width, height } = this._screen.getBoundingClientRect();
    const more = touching() ? Math.min(2, Math.max(1, ROOM / Math.min(width, height))) : 1;
    this._screenSize = () => ({ w: Math.round(width * more), h: Math.round(height * more) });
    super._requestRemoteResize();
    delete this._screenSize; // the class's own again, for drawing
  }

  // A long press is a right click at once. Held until the finger leaves, a menu of GTK would close with it after half a second.
  _handleGesture(e) {
    if (e.detail.type !== 'longpress') return super._handleGesture(e);
    if (e.type === 'gesturestart') {
      navigator.vibrate?.(15);
      this._handleTapEvent(e, 4);
    }
    return undefined;
  }
}

export class DeskSession {
  constructor(instance) {
    this.instance = instance;
    const s = saved();
    this.phase = signal('waiting');
    this.attempt = 0;
    this.title = signal('');
    this.mode = signal(MODES.some((m) => m.id === s.mode) ? s.mode : 'match');
    this.quality = signal(QUALITIES.some((q) => q.id === s.quality) ? s.quality : 'balanced');
    this.delay = signal(null);
    this.remoteText = signal(null);
    this.onText = () => {};
    this.typing = signal(false);
    /** Connected, but nothing has been drawn yet: a desktop that starts is a black screen at first. */
    this.blank = signal(false);
    this.rfb = null;
    this.timer = 0;
    this.closed = false;
  }

  /** `target`: where the picture goes; `still`: a canvas for the last one. */
  attach(target, still) {
    this.target = target;
    this.still = still;
  }

  connect() {
    if (this.closed || this.rfb || !this.target) return;
    clearTimeout(this.timer);
    this.phase.value = this.attempt ? 'retrying' : 'connecting';
    const rfb = new Screen(this.target, streamUrl(this.instance, 'desktop'), { wsProtocols: ['binary'], shared: true });
    this.rfb = rfb;
    rfb.background = 'transparent';
    rfb.focusOnClick = !this.typing.value;
    this.apply();
    rfb.addEventListener('connect', () => {
      this.since = performance.now();
      this.phase.value = 'connected';
      this.untilDrawn(rfb);
      if (!this.typing.value) rfb.focus({ preventScroll: true });
      this.measure();
    });
    rfb.addEventListener('desktopname', (e) => {
      this.title.value = e.detail.name;
    });
    rfb.addEventListener('clipboard', (e) => {
      this.remoteText.value = e.detail.text;
      this.onText(e.detail.text);
    });
    rfb.addEventListener('disconnect', () => this.dropped(rfb));
  }

  dropped(rfb) {
    if (this.rfb !== rfb) return;
    const had = this.phase.value === 'connected';
    // A stream that breaks as soon as it is up is no success: the pauses go on growing.
    const lasted = had && performance.now() - this.since > 5000;
    if (lasted) this.attempt = 0;
    this.rfb = null;
    if (this.closed) return;
    if (had) this.keepPicture(rfb);
    this.phase.value = 'retrying';
    const wait = lasted ? 0.2 : backoff(this.attempt);
    this.attempt++;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.connect(), wait * 1000);
  }

  /** A phone's keyboard is up: taps on the desktop must not take the focus from it. */
  type(on) {
    this.typing.value = on;
    if (this.rfb) this.rfb.focusOnClick = !on;
  }

  /** Until there is more than one colour, or for as long as a desktop may take to start: some screens stay black. */
  untilDrawn(rfb) {
    const end = performance.now() + BLANK;
    const pen = Object.assign(document.createElement('canvas'), { width: 48, height: 30 }).getContext('2d', { willReadFrequently: true });
    const look = () => {
      if (this.rfb !== rfb) return;
      const canvas = this.target.querySelector('canvas');
      if (canvas?.width) pen.drawImage(canvas, 0, 0, 48, 30);
      const points = new Uint32Array(pen.getImageData(0, 0, 48, 30).data.buffer);
      this.blank.value = points.every((p) => p === points[0]) && performance.now() < end;
      if (this.blank.value) requestAnimationFrame(look);
      else this.still.hidden = true;
    };
    this.blank.value = true;
    look();
  }

  keepPicture(rfb) {
    try {
      const image = rfb.getImageData();
      this.still.width = image.width;
      this.still.height = image.height;
      this.still.getContext('2d').putImageData(image, 0, 0);
      this.still.hidden = false;
    } catch {
      this.still.hidden = true; // nothing was drawn yet
    }
  }

  /** Not running: leave the stream until wake(). */
  sleep() {
    clearTimeout(this.timer);
    this.phase.value = 'waiting';
    const rfb = this.rfb;
    this.rfb = null;
    if (rfb) {
      this.keepPicture(rfb);
      rfb.disconnect();
    }
  }

  wake() {
    if (this.phase.value !== 'waiting') return;
    this.attempt = 0;
    this.connect();
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    this.rfb?.disconnect();
    this.rfb = null;
    this.phase.value = 'closed';
  }

  set(what, id) {
    this[what].value = id;
    this.apply();
    try {
      localStorage.setItem(SAVED, JSON.stringify({ mode: this.mode.value, quality: this.quality.value }));
    } catch {
      // not remembered for next time, nothing else
    }
  }

  apply() {
    const rfb = this.rfb;
    if (!rfb) return;
    const mode = this.mode.value;
    const q = QUALITIES.find((x) => x.id === this.quality.value);
    rfb.resizeSession = mode === 'match';
    rfb.scaleViewport = mode !== 'real';
    rfb.clipViewport = mode === 'real';
    rfb.dragViewport = false;
    rfb.qualityLevel = q.quality;
    rfb.compressionLevel = q.compression;
  }

  /** The way to the server and back, in ms: the gateway's shortest answer, the better of two. */
  async measure() {
    const one = async () => {
      const t = performance.now();
      const res = await fetch('/healthz', { cache: 'no-store' });
      await res.arrayBuffer();
      return performance.now() - t;
    };
    try {
      this.delay.value = Math.min(await one(), await one());
    } catch {
      this.delay.value = null;
    }
  }

  paste(text) {
    this.rfb?.clipboardPasteFrom(text);
  }
}
