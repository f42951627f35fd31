// A page of the site at ORIGIN, or of one ELSEWHERE, for React to render into; it must be there before
// React is loaded.
import { Window } from "happy-dom";
import { WebSocket } from "ws";

const { ELSEWHERE, ORIGIN, SESSION } = process.env;
const window = new Window({ url: ELSEWHERE || ORIGIN });

/** As a page of the site has it: with the session's cookie, and an Origin. */
class PageSocket extends WebSocket {
  static open = new Set();

  constructor(address, protocols) {
    super(address, protocols, {
      origin: window.location.origin,
      headers: SESSION ? { Cookie: `sessionid=${SESSION}` } : {},
    });
    PageSocket.open.add(this);
    this.addEventListener("close", () => PageSocket.open.delete(this));
  }
}

for (const [name, value] of Object.entries({
  window,
  document: window.document,
  location: window.location,
  navigator: window.navigator,
  WebSocket: PageSocket,
})) {
  // Some versions of Node have a navigator that cannot be assigned to.
  Object.defineProperty(globalThis, name, { value, configurable: true });
}
