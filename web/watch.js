// One camera and nothing else: for OBS Browser Source, iframes and a screen on the wall.
//
//   ?sound=1 (or ?muted=0)  try with sound first
//   ?controls=0             no buttons
//   ?fit=cover              fill the frame and crop, instead of showing the whole picture

import { CameraFeed } from './cameras.js';
import { Player } from './player.js';
import { toLogin } from './user.js';

const name = decodeURIComponent(location.pathname.replace(/\/+$/, '').split('/').pop());
const query = new URLSearchParams(location.search);
const feed = new CameraFeed();
const player = new Player(name, feed, {
  layout: 'bare',
  sound: query.get('sound') === '1' || query.get('muted') === '0',
  controls: query.get('controls') !== '0',
});

document.title = name;
const page = document.documentElement;
page.classList.toggle('cover', query.get('fit') === 'cover');
page.classList.toggle('no-controls', query.get('controls') === '0');
document.querySelector('main').append(player.element);

// The gateway is listened to only when there is something to explain. What is wrong with a picture that plays (B-frames) it
// tells after the first few.
const LAST_WORD_MS = 6000;
let lastWord = 0;
player.addEventListener('statechange', () => {
  clearTimeout(lastWord);
  if (player.state === 'playing') lastWord = setTimeout(() => feed.stop(), LAST_WORD_MS);
  else feed.start();
});
player.addEventListener('loginneeded', toLogin);
feed.addEventListener('change', () => player.onCameras());

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (player.onKey(event.key)) event.preventDefault();
});

// OBS shows hidden pages, so this page never sleeps.
player.start();

window.camgate = { players: new Map([[name, { player }]]) };
