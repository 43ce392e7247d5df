// A camera whose picture is the time: milliseconds since 1970 (their last 24 bits) in the cells of camera/picture.rs, over
// something that moves, 30 times a second. Published by the page's own client; ends with the page.
async (url) => {
  const { WhipClient } = await import('/assets/whip.js');
  const [width, height] = [1280, 720];
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext('2d');
  let pictures = 0;
  const draw = () => {
    pictures += 1;
    context.fillStyle = '#345';
    context.fillRect(0, height / 6, width, height);
    for (let bar = 0; bar < 12; bar += 1) {
      context.fillStyle = `hsl(${bar * 30 + pictures} 60% 50%)`;
      context.fillRect((pictures * (3 + bar)) % width, height / 6 + bar * 50, 90, 40);
    }
    const counter = Math.round(performance.timeOrigin + performance.now()) % 2 ** 24;
    let check = 5;
    for (let nibble = 0; nibble < 6; nibble += 1) check ^= (counter >> (nibble * 4)) & 15;
    const word = 10 * 2 ** 28 + counter * 16 + check;
    for (let bit = 0; bit < 32; bit += 1) {
      context.fillStyle = Math.floor(word / 2 ** (31 - bit)) % 2 ? '#fff' : '#000';
      context.fillRect((bit % 16) * (width / 16), Math.floor(bit / 16) * (height / 12), width / 16, height / 12);
    }
  };
  draw();
  setInterval(draw, 1000 / 30);
  window.publishing = new WhipClient(url, canvas.captureStream(30));
  window.publishing.start();
}
