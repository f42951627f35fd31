// Apollo Client: node apollo.mjs STREAM NODE. Prints what it saw, as JSON.
import { ApolloClient, gql, HttpLink, InMemoryCache } from "@apollo/client";
import { relayStylePagination } from "@apollo/client/utilities";
import { FIRST, FOLLOW, headers, PAGE, REFETCH, UNFOLLOW } from "./documents.mjs";

const [stream, id] = process.argv.slice(2);
const client = new ApolloClient({
  link: new HttpLink({ uri: "/graphql", fetch: (...request) => fetch(...request), headers }),
  cache: new InMemoryCache({
    typePolicies: { Query: { fields: { anyStream: relayStylePagination(["object"]) } } },
  }),
});
const page = { query: gql(PAGE), variables: { id: stream, first: FIRST } };
const node = { query: gql(REFETCH), variables: { id } };

await client.query(page);
const watched = client.watchQuery(page);
let pages = 1;
let merged = client.readQuery(page).anyStream;
while (merged.pageInfo.hasNextPage) {
  await watched.fetchMore({ variables: { after: merged.pageInfo.endCursor } });
  merged = client.readQuery(page).anyStream;
  pages += 1;
}

const { data } = await client.query(node);
const flags = [data.node.viewerIsFollowing];
for (const mutation of [FOLLOW, UNFOLLOW]) {
  await client.mutate({ mutation: gql(mutation), variables: { id } });
  const cached = client.readQuery(node).node.viewerIsFollowing;
  const refetched = await client.query({ ...node, fetchPolicy: "network-only" });
  flags.push(cached, refetched.data.node.viewerIsFollowing);
}
const ids = merged.edges.map((edge) => edge.node.id);
console.log(JSON.stringify({ viewer: data.viewer?.id, pages, ids, flags }));
