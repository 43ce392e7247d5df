// What a <video> or <canvas> shows: size, brightness, and the frame number burnt in by camera/picture.rs.
// Change both together.
async (selector) => {
  const video = document.querySelector(selector);
  const width = video?.videoWidth ?? video?.width, height = video?.videoHeight ?? video?.height;
  if (!width) return null;
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.drawImage(video, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  const luma = (x, y) => {
    const at = (y * width + x) * 4;
    return 0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2];
  };
  let sum = 0, squares = 0, count = 0;
  for (let y = 0; y < height; y += 2) {
    for (let x = 0; x < width; x += 2) {
      const value = luma(x, y);
      sum += value;
      squares += value * value;
      count += 1;
    }
  }
  let bits = 0n;
  for (let bit = 0; bit < 32; bit += 1) {
    const x = Math.floor((2 * (bit % 16) + 1) * width / 32);
    const y = Math.floor((2 * Math.floor(bit / 16) + 1) * height / 24);
    let cell = 0;
    for (let dy = -1; dy <= 1; dy += 1) for (let dx = -1; dx <= 1; dx += 1) cell += luma(x + dx, y + dy);
    bits = bits * 2n + (cell / 9 > 128 ? 1n : 0n);
  }
  const word = Number(bits);
  const counter = Math.floor(word / 16) % (1 << 24);
  let check = 5;
  for (let nibble = 0; nibble < 6; nibble += 1) check ^= (counter >> (nibble * 4)) & 15;
  const readable = Math.floor(word / 2 ** 28) === 10 && word % 16 === check;
  const mean = sum / count;
  return {
    width, height, mean, variance: squares / count - mean * mean,
    counter: readable ? counter : null,
    currentTime: video.currentTime ?? 0, paused: video.paused ?? true, muted: video.muted ?? true,
  };
}
