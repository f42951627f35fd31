/** The query in the page's address, which makes a query something to share. */

// Servers and proxies commonly refuse an address of more than 8 kB.
const LONGEST_SEARCH = 6000;

/** The tab that the address asks for, or null. */
export function read() {
  const params = new URLSearchParams(location.search);
  if (!params.get("query")) return null;
  return {
    query: params.get("query"),
    variables: params.get("variables") ?? "",
    operationName: params.get("operationName"),
  };
}

/** Whether two tabs ask for the same; an empty editor is null or "". */
export function same(one, other) {
  return one.query === other.query && (one.variables || "") === (other.variables || "");
}

/** Keeps the address in step with the tab; the tour's tabs need no address. */
export function follow(tab, tour) {
  const params = new URLSearchParams();
  if (tab.query && !tour.some((step) => same(step, tab))) {
    for (const name of ["query", "variables", "operationName"]) {
      if (tab[name]) params.set(name, tab[name]);
    }
  }
  const search = params.size && `${params}`.length <= LONGEST_SEARCH ? `?${params}` : "";
  if (search !== location.search) {
    history.replaceState(null, "", location.pathname + search + location.hash);
  }
}
