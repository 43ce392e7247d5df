// Talking to the people before a camera: hold the button, or the space bar, and speak.
//
//   offerTalking(players)
//
// What the microphone hears is sent to /whip/<camera>/talk for as long as it is held; the camera's own sound is turned down
// meanwhile, so that nobody hears themselves come back.

import { at } from './base.js';
import { obstacle, openVoice } from './devices.js';
import { setText } from './element.js';
import { Failure } from './failure.js';
import { Sending } from './sending.js';
import { WhepSession } from './session.js';
import { who } from './user.js';
import { captureTrouble, talkTrouble } from './words.js';

const DUCKED = 0.1;
const TROUBLE_MS = 12_000;
// What is in the air when the button is let go is still to be heard.
const TAIL_MS = 250;

let mayTalk = null;

// Shows the buttons of these players where their cameras can be talked to, to those who may.
export async function offerTalking(players) {
  mayTalk ??= who().then((user) => Boolean(user?.actions.includes('talk')));
  if (!await mayTalk) return;
  for (const player of players) new Talking(player);
}

class Talking {
  #player;
  #view;
  #session = null;
  #stream = null;
  #isHeld = false;
  #volume = 1;
  #trouble = '';
  #troubleTimer = 0;
  #state = 'idle';

  constructor(player) {
    this.#player = player;
    this.#view = player.view;
    const { talk, root } = this.#view;
    player.addEventListener('camerachange', () => this.#render());
    talk.addEventListener('pointerdown', (event) => {
      if (event.button !== 0) return;
      // Holding is no selection and no menu.
      event.preventDefault();
      talk.focus();
      talk.setPointerCapture?.(event.pointerId);
      this.#press();
    });
    for (const type of ['pointerup', 'pointercancel', 'lostpointercapture']) talk.addEventListener(type, () => this.#release());
    talk.addEventListener('contextmenu', (event) => event.preventDefault());
    // A screen reader's click has no pointer, and nobody holds it.
    talk.addEventListener('click', ({ detail }) => {
      if (detail === 0) this.#toggle();
    });
    const keys = this.#view.label ? root : document;
    keys.addEventListener('keydown', (event) => {
      if (!this.#isForUs(event)) return;
      event.preventDefault();
      if (!event.repeat) this.#press();
    });
    keys.addEventListener('keyup', (event) => {
      if (event.key !== ' ' || !this.#isHeld) return;
      event.preventDefault();
      this.#release();
    });
    for (const type of ['blur', 'pagehide']) window.addEventListener(type, () => this.#release());
    this.#render();
  }

  // The space bar belongs to whatever has the focus, unless that is the picture or this button.
  #isForUs({ key, target, ctrlKey, metaKey, altKey }) {
    if (key !== ' ' || ctrlKey || metaKey || altKey || this.#view.talk.hidden) return false;
    return target === this.#view.talk || !target.closest?.('button, a, input, select, textarea, summary, dialog, .stats');
  }

  #toggle() {
    if (this.#isHeld) this.#release();
    else this.#press();
  }

  async #press() {
    if (this.#isHeld) return;
    this.#isHeld = true;
    this.#end();
    this.#tell('');
    this.#enter('opening');
    const hindrance = obstacle();
    if (hindrance) return this.#fail(captureTrouble({ name: hindrance, kind: 'microphone' }));
    let track;
    try {
      track = await openVoice();
    } catch (error) {
      return this.#fail(captureTrouble({ name: error.name, kind: 'microphone', detail: error.message }));
    }
    // The question for permission took the button out of the hand.
    if (!this.#isHeld) {
      track.stop();
      return;
    }
    this.#stream = new MediaStream([track]);
    const path = `/whip/${encodeURIComponent(this.#player.name)}/talk`;
    const session = new WhepSession(at(path), { media: new Sending(this.#stream) });
    this.#session = session;
    const isCurrent = () => this.#session === session;
    session.addEventListener('connected', () => isCurrent() && this.#enter('talking'));
    session.addEventListener('lost', ({ detail }) => isCurrent() && this.#fail(talkTrouble(detail)));
    try {
      await session.open();
    } catch (error) {
      if (!isCurrent()) return;
      const failure = error instanceof Failure ? error : new Failure('browser-error', { detail: error.message });
      this.#fail(talkTrouble(failure));
    }
  }

  #release() {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    const session = this.#session;
    if (this.#state === 'talking') setTimeout(() => this.#session === session && this.#end(), TAIL_MS);
    else this.#end();
    this.#enter('idle');
  }

  #fail(text) {
    this.#isHeld = false;
    this.#end();
    this.#enter('idle');
    this.#tell(text);
  }

  #end() {
    this.#session?.close();
    this.#session = null;
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
  }

  #tell(text) {
    clearTimeout(this.#troubleTimer);
    this.#trouble = text;
    if (text) this.#troubleTimer = setTimeout(() => this.#tell(''), TROUBLE_MS);
    this.#render();
  }

  #enter(state) {
    const { video } = this.#view;
    const wasIdle = this.#state === 'idle';
    if (wasIdle && state !== 'idle') {
      this.#volume = video.volume;
      video.volume = Math.min(this.#volume, DUCKED);
    } else if (!wasIdle && state === 'idle') {
      video.volume = this.#volume;
    }
    this.#state = state;
    this.#render();
  }

  #render() {
    const { talk, floor, root, status } = this.#view;
    const camera = this.#player.camera;
    // While nothing is known of the camera, the button stays as it is.
    if (camera) talk.hidden = !camera.talk;
    talk.setAttribute('aria-pressed', String(this.#state !== 'idle'));
    root.classList.toggle('talking', this.#state === 'talking');
    const text = this.#trouble || this.#words(camera);
    if (text && text !== floor.textContent) setText(status, text);
    setText(floor, text);
    floor.hidden = text === '';
  }

  #words(camera) {
    if (this.#state === 'opening') return 'One moment…';
    if (this.#state === 'talking') return 'Speak now. Let go when you are done.';
    if (!camera?.talk?.busy) return '';
    return `${camera.talk.speaker ?? 'Somebody'} is talking.`;
  }
}
