// urql with its normalized cache: node urql.mjs STREAM NODE. Prints what it saw, as JSON.
import { Client, fetchExchange } from "@urql/core";
import { cacheExchange } from "@urql/exchange-graphcache";
import { relayPagination } from "@urql/exchange-graphcache/extras";
import { FIRST, FOLLOW, headers, PAGE, REFETCH, UNFOLLOW } from "./documents.mjs";

const [stream, id] = process.argv.slice(2);
const client = new Client({
  url: "/graphql",
  preferGetMethod: false,
  fetch: (...request) => fetch(...request),
  fetchOptions: { headers },
  exchanges: [
    cacheExchange({
      keys: { ActionConnection: () => null, ActionEdge: () => null, PageInfo: () => null },
      resolvers: { Query: { anyStream: relayPagination() } },
    }),
    fetchExchange,
  ],
});

async function ask(query, variables, requestPolicy = "cache-first") {
  const { data, error } = await client.query(query, variables, { requestPolicy }).toPromise();
  if (error) throw error;
  return data;
}

let merged = (await ask(PAGE, { id: stream, first: FIRST })).anyStream;
let pages = 1;
while (merged.pageInfo.hasNextPage) {
  const after = merged.pageInfo.endCursor;
  merged = (await ask(PAGE, { id: stream, first: FIRST, after })).anyStream;
  pages += 1;
}

const { node, viewer } = await ask(REFETCH, { id });
const flags = [node.viewerIsFollowing];
for (const mutation of [FOLLOW, UNFOLLOW]) {
  const { error } = await client.mutation(mutation, { id }).toPromise();
  if (error) throw error;
  const cached = await ask(REFETCH, { id }, "cache-only");
  const refetched = await ask(REFETCH, { id }, "network-only");
  flags.push(cached.node.viewerIsFollowing, refetched.node.viewerIsFollowing);
}
const ids = merged.edges.map((edge) => edge.node.id);
console.log(JSON.stringify({ viewer: viewer?.id, pages, ids, flags }));
