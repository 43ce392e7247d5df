// Which tiles of the grid show new pictures within 3 s.
const look = () => [...window.camgate.players].map(([name, { player }]) => {
  const { video } = player.view;
  return { name, state: player.state, frames: video.getVideoPlaybackQuality().totalVideoFrames, stream: video.srcObject };
});
const before = new Map(look().map((tile) => [tile.name, tile]));
await new Promise((resolve) => { setTimeout(resolve, 3000); });
const tiles = look().map(({ name, state, frames, stream }) => {
  const then = before.get(name);
  return { name, state, moving: Boolean(then) && frames !== then.frames && stream !== null };
});
return { is_same_page: window.__soak === true, tiles, errors: window.__errors ?? 0 };
