"""Plays a WHEP URL with aiortc and says what was decoded. usage: watch.py URL"""

import asyncio
import importlib.metadata
import json
import sys
import time
from urllib.parse import urljoin

import aiohttp
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

WATCH_SECONDS = 8


async def main(url):
    seen = {"frames": 0, "width": 0, "height": 0, "packets": 0, "peak": 0.0, "firstMs": None, "error": None}
    begin = None
    pc = RTCPeerConnection()
    for kind in ("video", "audio"):
        pc.addTransceiver(kind, direction="recvonly")

    async def watch(track):
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            if track.kind == "video":
                seen["frames"] += 1
                seen["width"], seen["height"] = frame.width, frame.height
                seen["firstMs"] = seen["firstMs"] or (time.monotonic() - begin) * 1000
            else:
                seen["packets"] += 1
                samples = memoryview(frame.planes[0]).cast("h")
                seen["peak"] = max(seen["peak"], max(map(abs, samples)) / 32768)

    tasks = []
    pc.on("track", lambda track: tasks.append(asyncio.ensure_future(watch(track))))
    await pc.setLocalDescription(await pc.createOffer())
    async with aiohttp.ClientSession() as http:
        begin = time.monotonic()
        headers = {"content-type": "application/sdp"}
        async with http.post(url, data=pc.localDescription.sdp, headers=headers) as response:
            answer = await response.text()
            if response.status != 201:
                seen["error"] = f"{response.status} {answer}"
            location = urljoin(url, response.headers.get("location", ""))
        if seen["error"] is None:
            await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
            await asyncio.sleep(WATCH_SECONDS)
            await http.delete(location)
    await pc.close()
    print(json.dumps({"version": "aiortc " + importlib.metadata.version("aiortc"), **seen}))


asyncio.run(main(sys.argv[1]))
