// One player that fills the page: the watch page, and the page of a link.
//
//   ?sound=1 (or ?muted=0)  try with sound first
//   ?controls=0             no buttons
//   ?fit=cover              fill the frame and crop, instead of showing the whole picture

import { Player } from './player.js';

export function stage(name, feed, options = {}) {
  const query = new URLSearchParams(location.search);
  const player = new Player(name, feed, {
    layout: 'bare',
    sound: query.get('sound') === '1' || query.get('muted') === '0',
    controls: query.get('controls') !== '0',
    ...options,
  });

  document.title = name;
  const page = document.documentElement;
  page.classList.toggle('cover', query.get('fit') === 'cover');
  page.classList.toggle('no-controls', query.get('controls') === '0');
  document.querySelector('main').append(player.element);

  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.target.closest('dialog')) return;
    if (player.onKey(event.key)) event.preventDefault();
  });

  window.camgate = { players: new Map([[name, { player }]]) };
  return player;
}
