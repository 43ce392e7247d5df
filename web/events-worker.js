// A shared worker: one connection for the news of the cameras, whatever pages are open.

import { CameraEvents } from './events.js';

const ports = new Set();
let events = null;
let last = null;

globalThis.onconnect = ({ ports: [port] }) => {
  port.onmessage = ({ data }) => data === 'close' && leave(port);
  ports.add(port);
  if (events && last) port.postMessage({ ...last, age: Date.now() - last.heardAt });
  events ??= new CameraEvents(tell);
};

function tell(news) {
  last = { ...news, heardAt: Date.now() };
  for (const port of ports) port.postMessage(news);
}

function leave(port) {
  ports.delete(port);
  if (ports.size > 0) return;
  events?.close();
  events = null;
  last = null;
}
