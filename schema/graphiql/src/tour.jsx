/** The button that brings the tour's tabs back beside the visitor's own. */

import { useGraphiQL, useGraphiQLActions } from "@graphiql/react";
import { createPortal } from "react-dom";

import { same } from "./link.js";

export function Tour({ tour }) {
  const { changeTab, moveTab } = useGraphiQLActions();
  const tabs = useGraphiQL((state) => state.tabs);
  const ready = useGraphiQL((state) => Boolean(state.queryEditor));

  function open() {
    const missing = tour.filter((step) => !tabs.some((tab) => same(tab, step)));
    const all = [...tabs, ...missing.map(asTab)];
    moveTab(all);
    changeTab(all.findIndex((tab) => same(tab, tour[0])));
  }

  return createPortal(
    <button id="tour" type="button" disabled={!ready} onClick={open}>
      Tour
    </button>,
    document.getElementById("tour-place"),
  );
}

/** GraphiQL adds only empty tabs of its own, so the tour makes its tabs itself. */
export function asTab({ query, variables = null, headers = null }, index) {
  return {
    id: `tour-${Date.now()}-${index}`,
    hash: "",
    title: /(?:query|mutation|subscription)\s+(\w+)/.exec(query)?.[1] ?? "<untitled>",
    query,
    variables,
    headers,
    operationName: null,
    response: null,
  };
}
