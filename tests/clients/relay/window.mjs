// A page for React to render into; it must be there before React is loaded.
import { Window } from "happy-dom";

const window = new Window();
for (const [name, value] of Object.entries({
  window,
  document: window.document,
  navigator: window.navigator,
})) {
  // Some versions of Node have a navigator that cannot be assigned to.
  Object.defineProperty(globalThis, name, { value, configurable: true });
}
