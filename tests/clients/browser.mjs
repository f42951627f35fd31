// fetch as a page of the site at ORIGIN has it: relative addresses, the SESSION's cookie, an Origin.
const { ORIGIN, SESSION } = process.env;
const { fetch } = globalThis;

globalThis.fetch = (resource, options = {}) =>
  fetch(new URL(resource, ORIGIN), {
    ...options,
    headers: {
      ...options.headers,
      Origin: ORIGIN,
      ...(SESSION && { Cookie: `sessionid=${SESSION}` }),
    },
  });
