// One camera and nothing else: for OBS Browser Source, iframes and a screen on the wall. stage.js tells its parameters.

import { CameraFeed } from './cameras.js';
import { offerSharing } from './sharing.js';
import { stage } from './stage.js';
import { offerTalking } from './talk.js';
import { toLogin } from './user.js';

const name = decodeURIComponent(location.pathname.replace(/\/+$/, '').split('/').pop());
const feed = new CameraFeed();
const player = stage(name, feed);

// The gateway is listened to only when there is something to explain. What is wrong with a picture that plays (B-frames) it
// tells after the first few.
const LAST_WORD_MS = 6000;
let lastWord = 0;
player.addEventListener('statechange', () => {
  clearTimeout(lastWord);
  if (player.state === 'playing') lastWord = setTimeout(restUnlessTalkedTo, LAST_WORD_MS);
  else feed.start();
});
player.addEventListener('loginneeded', toLogin);
feed.addEventListener('change', () => player.onCameras());

// Who talks there is news at any time, to those who may.
function restUnlessTalkedTo() {
  if (player.view.talk.hidden) feed.stop();
}

// OBS shows hidden pages, so this page never sleeps.
player.start();
offerSharing([player]);
offerTalking([player]);
