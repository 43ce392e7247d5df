// Making links that show one camera, for those who may: a button on each player, and a dialog behind it.
//
//   offerSharing(players)

import { at } from './base.js';
import { copyText } from './clipboard.js';
import { element } from './element.js';
import { failureFromResponse } from './failure.js';
import { request } from './request.js';
import { who } from './user.js';
import { sharingTrouble, untilWhen, watchingBy } from './words.js';

const TIMEOUT_MS = 5000;
const LIST_MS = 3000;
const COPIED_MS = 2000;
const HOUR = 3600;
const LASTS = [[HOUR, '1 hour'], [4 * HOUR, '4 hours'], [24 * HOUR, '1 day'], [7 * 24 * HOUR, '1 week'], [30 * 24 * HOUR, '30 days']];
const VIEWERS = [['', 'Any number'], ['1', '1'], ['2', '2'], ['5', '5'], ['10', '10']];

let mayShare = null;

// Shows the buttons of these players if sharing is for whoever looks at the page.
export async function offerSharing(players) {
  mayShare ??= who().then((user) => Boolean(user?.actions.includes('share')));
  if (!await mayShare) return;
  for (const player of players) {
    const { share } = player.view;
    if (!share.hidden) continue;
    share.hidden = false;
    share.addEventListener('click', () => new SharingDialog(player).open());
  }
}

class SharingDialog {
  #camera;
  #opener;
  #dialog;
  #form;
  #made;
  #list;
  #trouble;
  #status;
  #timer = 0;
  // By the links' ids.
  #items = new Map();

  constructor({ name, view }) {
    this.#camera = name;
    // The button itself may be gone with its menu.
    this.#opener = view.more ?? view.share;
    this.#trouble = element('p', { class: 'notice', role: 'alert', hidden: true });
    this.#status = element('p', { class: 'visually-hidden', role: 'status' });
    this.#form = element(
      'form',
      { class: 'sharing-form' },
      element('label', { for: 'share-lasts' }, 'Works for'),
      select('share-lasts', LASTS),
      element('label', { for: 'share-viewers' }, 'Viewers at one time'),
      select('share-viewers', VIEWERS),
      element('label', { for: 'share-note' }, 'Note, for you'),
      element('input', { id: 'share-note', maxlength: 80, autocomplete: 'off', placeholder: 'Who it is for' }),
      element('button', { class: 'primary' }, 'Make a link'),
    );
    this.#made = element('section', { class: 'made', 'aria-label': 'The new link', hidden: true });
    this.#list = element('section', { class: 'links', hidden: true }, element('h3', {}, `Links to ${name}`), element('ul', {}));
    const close = element('button', { type: 'button', class: 'quiet' }, 'Close');
    this.#dialog = element(
      'dialog',
      { class: 'sharing', 'aria-labelledby': 'share-title' },
      element('h2', { id: 'share-title' }, `Share ${name}`),
      element('p', { class: 'hint' }, `Whoever has the link sees ${name}, and nothing else.`),
      this.#trouble, this.#form, this.#made, this.#list, this.#status, close,
    );
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#make();
    });
    close.addEventListener('click', () => this.#dialog.close());
    this.#dialog.addEventListener('close', () => this.#end());
    // The page has shortcuts of its own.
    this.#dialog.addEventListener('keydown', (event) => event.stopPropagation());
  }

  open() {
    (document.fullscreenElement ?? document.body).append(this.#dialog);
    this.#dialog.showModal();
    this.#showList();
  }

  #end() {
    clearTimeout(this.#timer);
    this.#dialog.remove();
    this.#opener.focus();
  }

  async #make() {
    const field = (id) => this.#form.querySelector(`#${id}`);
    const button = this.#form.querySelector('button');
    const viewers = Number(field('share-viewers').value) || null;
    const wish = {
      camera: this.#camera, seconds: Number(field('share-lasts').value), viewers, note: field('share-note').value, base: new URL(at('/'), location.href).href,
    };
    button.disabled = true;
    const link = await this.#ask('/api/v1/shares', {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(wish),
    });
    button.disabled = false;
    if (!link) return;
    this.#show(link);
    this.#showList();
  }

  #show({ url, whep, token, qr }) {
    const address = element('input', { readonly: true, 'aria-label': 'Link', value: url });
    address.addEventListener('focus', () => address.select());
    const player = element('p', { class: 'hint' }, 'In OBS, paste it as the URL of a browser source. A WHEP player takes ', element('code', {}, whep), ' with this token as Bearer: ', element('code', {}, token));
    this.#made.replaceChildren(
      element('div', { class: 'row' }, address, this.#copyButton(url)),
      ...(qr ? [drawing(qr, `QR code of the link to ${this.#camera}`)] : []),
      player,
    );
    this.#made.hidden = false;
    address.focus();
    this.#say('The link is made.');
  }

  #copyButton(text) {
    const button = element('button', { type: 'button', class: 'quiet' }, 'Copy');
    button.addEventListener('click', async () => {
      const isCopied = await copyText(text, this.#dialog);
      button.textContent = isCopied ? 'Copied' : 'Copy it by hand';
      if (isCopied) this.#say('Link copied.');
      setTimeout(() => { button.textContent = 'Copy'; }, COPIED_MS);
    });
    return button;
  }

  // Stays up to date while the dialog is open: who watches, what is over.
  async #showList() {
    clearTimeout(this.#timer);
    const links = await this.#ask('/api/v1/shares', {});
    if (!this.#dialog.open) return;
    this.#timer = setTimeout(() => this.#showList(), LIST_MS);
    if (!links) return;
    const own = new Map(links.filter(({ camera }) => camera === this.#camera).map((link) => [link.id, link]));
    this.#list.hidden = own.size === 0;
    // What stays is not made anew, or it would go away under a finger.
    for (const [id, item] of this.#items) {
      if (own.has(id)) continue;
      item.remove();
      this.#items.delete(id);
    }
    for (const [id, link] of own) {
      if (!this.#items.has(id)) this.#items.set(id, this.#item(link));
      const item = this.#items.get(id);
      if (!item.isConnected) this.#list.querySelector('ul').append(item);
      const facts = item.querySelector('.facts');
      const text = `${untilWhen(link.expires)}, ${watchingBy(link)}`;
      if (facts.textContent !== text) facts.textContent = text;
    }
  }

  #item(link) {
    const title = link.note || `Link ${link.id.slice(0, 4)}`;
    const revoke = element('button', { type: 'button', class: 'quiet', 'aria-label': `Revoke ${title}` }, 'Revoke');
    revoke.addEventListener('click', async () => {
      revoke.disabled = true;
      if (await this.#ask(`/api/v1/shares/${link.id}`, { method: 'DELETE' })) this.#say(`${title} is revoked.`);
      await this.#showList();
      (this.#list.querySelector('button') ?? this.#form.querySelector('button')).focus();
    });
    return element('li', {}, element('span', { class: 'title' }, title), element('span', { class: 'facts' }), revoke);
  }

  // What the gateway answers, or null after saying why it does not.
  async #ask(path, options) {
    try {
      const response = await request(at(path), options, TIMEOUT_MS);
      if (!response.ok) throw await failureFromResponse(response);
      this.#trouble.hidden = true;
      return response.status === 204 ? true : response.json();
    } catch (failure) {
      this.#trouble.textContent = sharingTrouble(failure);
      this.#trouble.hidden = false;
      return null;
    }
  }

  #say(text) {
    this.#status.textContent = text;
  }
}

function select(id, choices) {
  return element('select', { id }, ...choices.map(([value, text]) => element('option', { value }, text)));
}

const SVG = 'http://www.w3.org/2000/svg';

function drawing({ size, path }, label) {
  const svg = document.createElementNS(SVG, 'svg');
  const dark = document.createElementNS(SVG, 'path');
  svg.setAttribute('viewBox', `0 0 ${size} ${size}`);
  svg.setAttribute('class', 'qr');
  svg.setAttribute('role', 'img');
  svg.setAttribute('aria-label', label);
  dark.setAttribute('d', path);
  svg.append(dark);
  return svg;
}
