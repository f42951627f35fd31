/** What a visitor sees first: the linked query, their own tabs, or the tour. */

import { useGraphiQL, useGraphiQLActions } from "@graphiql/react";
import { StorageAPI } from "@graphiql/toolkit";
import { useEffect } from "react";

/** GraphiQL's properties for this visit, and whether it is the first. */
export function opening(tour, link) {
  if (link) {
    return {
      firstVisit: false,
      defaultTabs: [link, ...tour],
      initialQuery: link.query,
      initialVariables: link.variables,
    };
  }
  const storage = new StorageAPI();
  const firstVisit = storage.get("tabState") === null;
  if (firstVisit) {
    // GraphiQL takes a default tab's query, but its variables only from storage.
    storage.set("query", tour[0].query);
    storage.set("variables", tour[0].variables);
  }
  return { firstVisit, defaultTabs: tour };
}

/** Selects the linked operation; on a first visit, runs the query once. */
export function Opening({ operationName, runs }) {
  const { run, setOperationName } = useGraphiQLActions();
  const operations = useGraphiQL((state) => state.operations);
  const ready = useGraphiQL(
    ({ queryEditor, variableEditor, headerEditor, responseEditor }) =>
      Boolean(queryEditor && variableEditor && headerEditor && responseEditor),
  );

  useEffect(() => {
    if (!ready || !operations) return;
    if (operations.some(({ name }) => name?.value === operationName)) {
      setOperationName(operationName);
    }
    // Only a person's hand starts a mutation.
    if (runs && operations.every(({ operation }) => operation === "query")) run();
  }, [ready]);

  return null;
}
