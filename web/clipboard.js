// Puts a text into the clipboard; answers whether it is there.

import { element } from './element.js';

// `near`: where a field may stand for a moment; a dialog lets nothing outside of it be selected.
export async function copyText(text, near = document.body) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text, near);
  }
}

// A gateway on the LAN is http, and there browsers offer no clipboard API.
function copyBySelection(text, near) {
  const focused = document.activeElement;
  const field = element('textarea', { class: 'visually-hidden', readonly: true });
  field.value = text;
  near.append(field);
  field.select();
  const isCopied = document.execCommand('copy');
  field.remove();
  focused?.focus();
  return isCopied;
}
