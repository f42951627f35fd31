/** What a visitor sees first: the linked query, their own tabs, or the tour. */

import { useGraphiQL, useGraphiQLActions } from "@graphiql/react";
import { StorageAPI } from "@graphiql/toolkit";
import { useEffect } from "react";

import { same } from "./link.js";
import { asTab } from "./tour.jsx";

/** GraphiQL's properties for this visit, and whether its query runs by itself. */
export function opening(tour, link, viewer) {
  if (link) {
    return {
      runs: false,
      defaultTabs: [link, ...tour],
      initialQuery: link.query,
      initialVariables: link.variables,
    };
  }
  return { runs: greet(tour, viewer, new StorageAPI()) };
}

/**
 * Opens the tour at a step that works for the viewer, once for everybody who uses this
 * browser, and again for nobody who has gone on to something else.
 */
function greet(tour, viewer, storage) {
  const open = { query: storage.get("query"), variables: storage.get("variables") };
  const publicStep = tour.find((step) => step.public) ?? tour[0];
  const step = viewer ? tour[0] : publicStep;
  const first = storage.get("tabState") === null;
  if (first) {
    // GraphiQL opens default tabs at the first of them, stored ones where they were left.
    const tabs = tour.map(asTab);
    storage.set("tabState", JSON.stringify({ tabs, activeTabIndex: tour.indexOf(step) }));
  }
  // As JSON, because an empty text is not stored: it stands for who is not logged in.
  const isNew = storage.get("greeted") !== JSON.stringify(viewer);
  storage.set("greeted", JSON.stringify(viewer));
  const isAtTheDoor = first || same(open, tour[0]) || same(open, publicStep);
  if (!isNew || !isAtTheDoor) return false;
  storage.set("query", step.query);
  storage.set("variables", step.variables ?? "");
  return true;
}

/** Selects the linked operation, or runs the query that greets. */
export function Opening({ operationName, runs }) {
  const { run, setOperationName } = useGraphiQLActions();
  const operations = useGraphiQL((state) => state.operations);
  const editors = useGraphiQL((state) => [
    state.queryEditor,
    state.variableEditor,
    state.headerEditor,
    state.responseEditor,
  ]);
  const ready = editors.every(Boolean);
  const parsed = ready && Boolean(operations);

  useEffect(() => {
    if (!ready) return;
    // The tour explains itself in lines longer than half a screen, let alone a phone's.
    for (const editor of editors) editor.updateOptions({ wordWrap: "on" });
  }, [ready]);

  useEffect(() => {
    if (!parsed) return;
    if (operations.some(({ name }) => name?.value === operationName)) {
      setOperationName(operationName);
    }
    // Only a person's hand starts a mutation.
    if (runs && operations.every(({ operation }) => operation === "query")) run();
  }, [parsed]);

  return null;
}
