// Stands between a client and the gateway, passes everything on, and writes down what each client did: one line per WHEP or WHIP
// request. Serves the page for players that are libraries, too.
// usage: node proxy.mjs GATEWAY_HOST:PORT FOLDER LOG; prints its own host:port

import { appendFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import http from "node:http";
import path from "node:path";

const [gateway, folder, log] = process.argv.slice(2);
const [host, port] = gateway.split(":");
const types = { ".html": "text/html", ".js": "text/javascript" };

const server = http.createServer((request, response) => {
  if (request.url.startsWith("/interop/")) {
    const file = path.join(folder, path.basename(new URL(request.url, "http://x").pathname));
    readFile(file).then(
      (body) => response.writeHead(200, { "content-type": types[path.extname(file)] ?? "text/plain" }).end(body),
      () => response.writeHead(404).end(),
    );
    return;
  }
  const chunks = [];
  const { method, url, headers } = request;
  const onward = http.request({ host, port, method, path: url, headers }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
    if (/^\/wh[ei]p\//.test(url)) {
      const candidates = (Buffer.concat(chunks).toString().match(/^a=candidate:/gm) ?? []).length;
      appendFileSync(log, `${JSON.stringify({ method, status: answer.statusCode, candidates })}\n`);
    }
  });
  onward.on("error", () => response.destroy());
  response.on("close", () => onward.destroy());
  request.on("data", (chunk) => chunks.push(chunk));
  request.pipe(onward);
});
server.listen(0, "127.0.0.1", () => console.log(`127.0.0.1:${server.address().port}`));
