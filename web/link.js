// ICE servers from WHEP's Link headers (RFC 9725 4.6):
//   <turn:host:3478>; rel="ice-server"; username="u"; credential="c"; credential-type="password"

export function iceServersFromLink(header) {
  return linkValues(header ?? '')
    .filter(({ parameters }) => parameters.rel === 'ice-server')
    .map(({ target, parameters: { username, credential } }) => (
      username ? { urls: target, username, credential } : { urls: target }
    ));
}

function linkValues(header) {
  const values = [];
  // fetch joins repeated headers with commas, and a credential may hold one: match instead of splitting.
  const value = /<([^>]*)>((?:\s*;\s*[\w-]+(?:=(?:"(?:[^"\\]|\\.)*"|[^\s",;]+))?)*)/g;
  for (const [, target, rest] of header.matchAll(value)) {
    const parameters = {};
    for (const [, name, quoted, token] of rest.matchAll(/;\s*([\w-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s",;]+))/g)) {
      parameters[name.toLowerCase()] = quoted === undefined ? token : quoted.replace(/\\(.)/g, '$1');
    }
    values.push({ target, parameters });
  }
  return values;
}
