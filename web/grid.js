// The page of all cameras: a tile for each, in the order of config.toml.

import { CameraFeed } from './cameras.js';
import { copyText } from './clipboard.js';
import { element } from './element.js';
import { disclose } from './menu.js';
import { Player } from './player.js';
import { offerSharing } from './sharing.js';
import { offerTalking } from './talk.js';
import { showUser, toLogin } from './user.js';

// A glance at another tab, or a scroll past a tile, costs no reconnect.
const OUT_OF_SIGHT_MS = 15_000;

const feed = new CameraFeed();
const players = new Map();
const grid = document.getElementById('grid');
const empty = document.getElementById('empty');
const notice = document.getElementById('notice');
const summary = document.getElementById('summary');

const inView = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const entry = players.get(target.dataset.camera);
    if (!entry) continue;
    entry.isInView = isIntersecting;
    wakeOrSleep(entry);
  }
}, { rootMargin: '200px' });

feed.addEventListener('change', () => {
  if (feed.failure?.code === 'login-needed') return toLogin();
  if (feed.cameras && !feed.failure) arrange(feed.cameras.map(({ name }) => name));
  for (const { player } of players.values()) player.onCameras();
  summarise();
});
document.addEventListener('visibilitychange', onVisibility);
onVisibility();

function onVisibility() {
  if (document.visibilityState === 'visible') feed.start();
  else feed.stop();
  for (const entry of players.values()) wakeOrSleep(entry);
}

// An on-demand camera can rest only when nobody holds a session.
function wakeOrSleep(entry) {
  const isSeen = entry.isInView && document.visibilityState === 'visible';
  clearTimeout(entry.sleepTimer);
  // Not even the seconds until then are paid for by a phone.
  entry.player.client.rest(!isSeen);
  if (isSeen) entry.player.start();
  else entry.sleepTimer = setTimeout(() => entry.player.stop(), OUT_OF_SIGHT_MS);
}

// Tiles that stay are never moved: a moved <video> starts over.
function arrange(names) {
  for (const [name, entry] of players) {
    if (!names.includes(name)) remove(name, entry);
  }
  let previous = null;
  for (const name of names) {
    const entry = players.get(name) ?? add(name, previous);
    previous = entry.item;
  }
  grid.dataset.count = Math.min(names.length, 5);
  empty.hidden = names.length > 0;
}

function add(name, previous) {
  const player = new Player(name, feed);
  const item = element('li', {}, player.element);
  const entry = { player, item, isInView: false, sleepTimer: 0 };
  players.set(name, entry);
  if (previous) previous.after(item);
  else grid.prepend(item);
  bindMenu(player);
  player.element.addEventListener('keydown', (event) => onKey(event, player));
  player.addEventListener('statechange', summarise);
  player.addEventListener('loginneeded', toLogin);
  inView.observe(player.element);
  offerSharing([player]);
  offerTalking([player]);
  return entry;
}

function remove(name, { player, item, sleepTimer }) {
  clearTimeout(sleepTimer);
  inView.unobserve(player.element);
  player.stop();
  item.remove();
  players.delete(name);
}

function onKey(event, player) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (player.onKey(event.key)) event.preventDefault();
}

function bindMenu(player) {
  const { more, menu, copy, share, statistics, status } = player.view;
  const { close } = disclose(more, menu);
  statistics.addEventListener('click', close);
  share.addEventListener('click', close);
  copy.addEventListener('click', async () => {
    const isCopied = await copyText(player.whepUrl);
    copy.textContent = isCopied ? 'Copied' : player.whepUrl;
    if (isCopied) status.textContent = 'WHEP URL copied.';
    setTimeout(() => { copy.textContent = 'Copy WHEP URL'; }, isCopied ? 2000 : 15_000);
  });
}

function summarise() {
  const count = players.size;
  const live = [...players.values()].filter(({ player }) => player.state === 'playing').length;
  const text = count === 0 ? '' : `${count} camera${count === 1 ? '' : 's'}, ${live} live`;
  if (summary.textContent !== text) summary.textContent = text;
  const trouble = feed.failure
    ? feed.failure.detail ?? `The gateway at ${location.host} does not answer. This page keeps trying.`
    : '';
  if (notice.textContent !== trouble) notice.textContent = trouble;
  notice.hidden = trouble === '';
}

showUser(document.getElementById('user'));

window.camgate = { players };
