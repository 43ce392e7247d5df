// Notes each frame that the first video of the page presents: when, when it is meant to be on the screen, and the camera's
// frame number in it. To be run before the viewer is made or when it is there; `window.__frames` is the result.
(() => {
  const frames = (window.__frames = []);
  const canvas = document.createElement('canvas');
  // Four pixels for each of the 16 x 2 cells of camera/picture.rs, which fill the top sixth of the picture.
  canvas.width = 64;
  canvas.height = 8;
  const context = canvas.getContext('2d', { willReadFrequently: true });
  const counter = (video) => {
    context.drawImage(video, 0, 0, video.videoWidth, video.videoHeight / 6, 0, 0, 64, 8);
    const { data } = context.getImageData(0, 0, 64, 8);
    let word = 0;
    for (let bit = 0; bit < 32; bit += 1) {
      const x = (bit % 16) * 4 + 2, y = Math.floor(bit / 16) * 4 + 2;
      word = word * 2 + (data[(y * 64 + x) * 4 + 1] > 128 ? 1 : 0);
    }
    const number = Math.floor(word / 16) % (1 << 24);
    let check = 5;
    for (let nibble = 0; nibble < 6; nibble += 1) check ^= (number >> (nibble * 4)) & 15;
    return Math.floor(word / 2 ** 28) === 10 && word % 16 === check ? number : null;
  };
  const found = new MutationObserver(() => find());
  const find = () => {
    const video = document.querySelector('video');
    if (!video) return;
    found.disconnect();
    const note = (_, frame) => {
      const at = performance.timeOrigin + performance.now();
      const display = performance.timeOrigin + frame.expectedDisplayTime;
      frames.push({ at, display, presented: frame.presentedFrames, counter: counter(video) });
      video.requestVideoFrameCallback(note);
    };
    video.requestVideoFrameCallback(note);
  };
  found.observe(document.body, { childList: true, subtree: true });
  find();
})();
