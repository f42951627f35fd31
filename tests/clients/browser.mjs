// fetch as a page has it that is from the site at ORIGIN, or from another at ELSEWHERE: relative
// addresses, the SESSION's cookie, an Origin; and /token, where a server of its own gives it TOKEN.
const { ELSEWHERE, ORIGIN, SESSION, TOKEN } = process.env;
const { fetch } = globalThis;

globalThis.fetch = async (resource, options = {}) =>
  resource === "/token"
    ? new Response(TOKEN)
    : fetch(new URL(resource, ORIGIN), {
        ...options,
        headers: {
          ...options.headers,
          Origin: ELSEWHERE || ORIGIN,
          ...(SESSION && { Cookie: `sessionid=${SESSION}` }),
        },
      });
