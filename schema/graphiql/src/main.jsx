import "graphiql/setup-workers/vite";
import "graphiql/style.css";
import "./keyboard.js";
import "./page.css";

import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import { createRoot } from "react-dom/client";

import { follow, read } from "./link.js";
import { Opening, opening } from "./opening.jsx";
import { Tour } from "./tour.jsx";

const { endpoint, tabs: tour } = JSON.parse(
  document.getElementById("graphiql-config").textContent,
);
const place = document.getElementById("graphiql");
const link = read();
const { runs, ...contents } = opening(tour, link, place.dataset.viewer);

createRoot(place).render(
  <GraphiQL
    {...contents}
    fetcher={createGraphiQLFetcher({ url: endpoint })}
    onTabChange={({ tabs, activeTabIndex }) => follow(tabs[activeTabIndex], tour)}
    // A phone has no room for the variables beside the query.
    defaultEditorToolsVisibility={matchMedia("(min-width: 768px)").matches}
  >
    <Opening operationName={link?.operationName} runs={runs} />
    <Tour tour={tour} />
  </GraphiQL>,
);
