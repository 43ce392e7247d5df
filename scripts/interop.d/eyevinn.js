import { WebRTCPlayer } from "@eyevinn/webrtc-player";

const video = document.querySelector("video");
const player = new WebRTCPlayer({ video, type: "whep" });
player.load(new URL("/whep/test", location.href)).then(() => player.unmute());
