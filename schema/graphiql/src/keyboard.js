/** The way out of an editor, in which Tab is a character: Escape, then Tab. */

document.addEventListener(
  "keydown",
  (event) => {
    if (event.key !== "Escape") return;
    const editor = event.target.closest(".graphiql-editor, .result-window");
    // Suggestions, and what else an editor has open, are what Escape closes first.
    if (editor && !editor.querySelector("[widgetid].visible")) editor.focus();
  },
  // Before the editor, which would close them.
  { capture: true },
);
