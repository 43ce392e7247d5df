// Notes what is on the screen of a page of the gateway: each frame that its video presents, and from when on nothing covers
// it. `window.__recovery` is the result; times are milliseconds since 1970.
(() => {
  const log = (window.__recovery = { frames: [], uncovered: [], playing: [] });
  const now = () => performance.timeOrigin + performance.now();
  const tile = document.querySelector('[data-camera]');
  const video = tile.querySelector('video');
  const still = tile.querySelector('.still');
  const note = () => {
    log.frames.push(now());
    video.requestVideoFrameCallback(note);
  };
  video.requestVideoFrameCallback(note);
  new MutationObserver(() => still.hidden && log.uncovered.push(now())).observe(still, { attributeFilter: ['hidden'] });
  new MutationObserver(() => tile.dataset.state === 'playing' && log.playing.push(now()))
    .observe(tile, { attributeFilter: ['data-state'] });
})();
