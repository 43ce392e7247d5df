// A button that shows and hides a panel: closes on Escape, on a click elsewhere, and when the focus leaves.

export function disclose(button, panel) {
  const isOpen = () => !panel.hidden;
  const set = (open) => {
    panel.hidden = !open;
    button.setAttribute('aria-expanded', String(open));
  };
  const isInside = (node) => panel.contains(node) || button.contains(node);

  button.addEventListener('click', () => set(!isOpen()));
  panel.addEventListener('keydown', onEscape);
  button.addEventListener('keydown', onEscape);
  document.addEventListener('pointerdown', ({ target }) => {
    if (isOpen() && !isInside(target)) set(false);
  });
  panel.addEventListener('focusout', ({ relatedTarget }) => {
    if (relatedTarget && !isInside(relatedTarget)) set(false);
  });

  function onEscape(event) {
    if (event.key !== 'Escape' || !isOpen()) return;
    event.stopPropagation();
    set(false);
    button.focus();
  }

  return { close: () => set(false) };
}
