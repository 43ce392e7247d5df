// Where the gateway is: a reverse proxy may have put it below a path, which these modules are below too.
//
//   at('/whep/front')   // "/whep/front", or "/cams/whep/front"

export function at(path) {
  return new URL(`..${path}`, import.meta.url).pathname;
}
