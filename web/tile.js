// The elements of one player; what they do is player.js.
//
// `tile` is a picture with a bar below it (grid); `bare` is the picture alone, its buttons floating (watch page).

import { at } from './base.js';
import { element, icon } from './element.js';

export function tileView(name, { layout, controls = true }) {
  const video = element('video', { playsinline: true, autoplay: true, muted: true, 'aria-label': `Live picture of ${name}` });
  // The attribute alone does not mute an element made by script.
  video.muted = true;
  const still = element('canvas', { class: 'still', 'aria-hidden': 'true', hidden: true });
  const sentence = element('span', { class: 'sentence' });
  const next = element('span', { class: 'next' });
  const retry = element('button', { type: 'button', class: 'retry', hidden: true }, 'Try now');
  // Shown for a camera that somebody publishes, while nobody does.
  const publish = element('a', { class: 'retry', href: at(`/publish/${encodeURIComponent(name)}`), hidden: true }, 'Use this device');
  const words = element('div', { class: 'words', hidden: true }, element('p', {}, sentence, ' ', next), retry, publish);
  const stats = element('dl', { class: 'stats', hidden: true, tabindex: '0', 'aria-label': `Statistics of ${name}` });
  // Who talks to the people before the camera, and why somebody is not heard; said aloud by `status`.
  const floor = element('p', { class: 'floor', 'aria-hidden': 'true', hidden: true });
  const picture = element('div', { class: 'picture' }, video, still, words, floor, stats);

  const buttons = actionButtons(name);
  const status = element('p', { class: 'visually-hidden', role: 'status', 'aria-live': 'polite' });
  const root = element('article', { class: `tile ${layout}`, 'data-camera': name, 'data-state': 'idle', tabindex: '0', 'aria-label': `Camera ${name}` });
  const view = { root, picture, video, still, words, sentence, next, retry, publish, floor, stats, status, ...buttons };

  if (layout === 'bare') {
    root.append(picture, status);
    if (controls) root.append(element('div', { class: 'floating' }, buttons.talk, buttons.level, buttons.sound, buttons.statistics, buttons.snapshot, buttons.clip, buttons.share, buttons.fullscreen, buttons.invite));
    return view;
  }
  view.label = element('span', { class: 'label' });
  view.open = element('a', { class: 'item', href: at(`/watch/${encodeURIComponent(name)}`) }, 'Open in its own page');
  view.copy = element('button', { type: 'button', class: 'item' }, 'Copy WHEP URL');
  view.menu = element('div', { class: 'menu', id: `menu-${name}`, hidden: true }, view.open, view.copy, buttons.snapshot, buttons.clip, buttons.share, buttons.statistics);
  buttons.statistics.className = 'item';
  buttons.statistics.replaceChildren('Statistics');
  buttons.snapshot.className = 'item';
  buttons.snapshot.replaceChildren('Snapshot');
  buttons.clip.className = 'item';
  buttons.clip.replaceChildren('Clip');
  buttons.share.className = 'item';
  buttons.share.replaceChildren('Share');
  view.more = element('button', { type: 'button', class: 'button', 'aria-label': `More for ${name}`, 'aria-expanded': 'false', 'aria-controls': view.menu.id }, icon('more'));
  root.append(
    picture,
    element(
      'div',
      { class: 'bar' },
      element('h2', { class: 'name', title: name }, name),
      element('p', { class: 'state' }, element('span', { class: 'dot', 'aria-hidden': 'true' }), view.label),
      element('div', { class: 'actions' }, buttons.talk, buttons.level, buttons.sound, buttons.fullscreen, view.more),
      view.menu,
    ),
    status,
  );
  return view;
}

function actionButtons(name) {
  return {
    sound: pressable(`Sound of ${name}`, 'Sound (M)', 'm', icon('sound-off'), icon('sound-on')),
    level: element('meter', { class: 'level', min: '0', max: '1', hidden: true, 'aria-label': `Sound level of ${name}` }),
    fullscreen: pressable(`Full screen for ${name}`, 'Full screen (F)', 'f', icon('fullscreen')),
    statistics: pressable(`Statistics of ${name}`, 'Statistics (S)', 's', icon('stats')),
    snapshot: element('button', { type: 'button', class: 'button', title: 'Save a snapshot', 'aria-label': `Save a snapshot of ${name}` }, icon('snapshot')),
    // Shown where the camera can be talked to, to those who may.
    talk: element('button', {
      type: 'button', class: 'button talk', title: 'Hold to talk (space)', 'aria-label': `Talk at ${name}`, 'aria-pressed': 'false', 'aria-keyshortcuts': 'Space', hidden: true,
    }, icon('talk')),
    // Shown where the camera keeps clips.
    clip: element('button', { type: 'button', class: 'button', title: 'Save the last seconds', 'aria-label': `Save the last seconds of ${name}`, hidden: true }, icon('clip')),
    // Shown to those who may share.
    share: element('button', { type: 'button', class: 'button', title: 'Share', 'aria-label': `Share ${name}`, 'aria-haspopup': 'dialog', hidden: true }, icon('share')),
    invite: element('button', { type: 'button', class: 'invite', hidden: true }, icon('sound-off'), 'Turn sound on'),
  };
}

function pressable(label, title, shortcut, ...children) {
  return element('button', {
    type: 'button', class: 'button', 'aria-label': label, title, 'aria-pressed': 'false', 'aria-keyshortcuts': shortcut,
  }, ...children);
}
