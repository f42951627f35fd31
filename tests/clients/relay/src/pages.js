// relay-runtime alone: node pages.js STREAM NODE. Prints what it saw, as JSON.
import {
  commitMutation,
  createOperationDescriptor,
  Environment,
  fetchQuery,
  getRequest,
  graphql,
  Network,
  RecordSource,
  Store,
} from "relay-runtime";

const FIRST = 7;
const headers = process.env.TOKEN ? { Authorization: `Bearer ${process.env.TOKEN}` } : {};

const page = graphql`
  query pagesQuery($id: ID!, $first: Int!, $after: String) {
    anyStream(object: $id, first: $first, after: $after) @connection(key: "pages_anyStream") {
      edges {
        node {
          id
          displayName
        }
      }
      pageInfo {
        hasNextPage
        endCursor
      }
    }
  }
`;
const refetch = graphql`
  query pagesRefetchQuery($id: ID!) {
    viewer {
      id
    }
    node(id: $id) {
      id
      viewerIsFollowing
    }
  }
`;
const follow = graphql`
  mutation pagesFollowMutation($id: ID!) {
    follow(input: { object: $id, sendAction: false }) {
      object {
        id
        viewerIsFollowing
      }
    }
  }
`;
const unfollow = graphql`
  mutation pagesUnfollowMutation($id: ID!) {
    unfollow(input: { object: $id }) {
      object {
        id
        viewerIsFollowing
      }
    }
  }
`;

const [stream, id] = process.argv.slice(2);
const environment = new Environment({
  network: Network.create(async ({ text }, variables) => {
    const response = await fetch("/graphql", {
      method: "POST",
      headers: { "Content-Type": "application/json", ...headers },
      body: JSON.stringify({ query: text, variables }),
    });
    return response.json();
  }),
  store: new Store(new RecordSource()),
});
const ask = (query, variables) =>
  fetchQuery(environment, query, variables, { fetchPolicy: "network-only" }).toPromise();
const cached = (query, variables) =>
  environment.lookup(createOperationDescriptor(getRequest(query), variables).fragment).data;

async function main() {
  let pages = 1;
  let merged = (await ask(page, { id: stream, first: FIRST })).anyStream;
  while (merged.pageInfo.hasNextPage) {
    const after = merged.pageInfo.endCursor;
    merged = (await ask(page, { id: stream, first: FIRST, after })).anyStream;
    pages += 1;
  }

  const { node, viewer } = await ask(refetch, { id });
  const flags = [node.viewerIsFollowing];
  for (const mutation of [follow, unfollow]) {
    await new Promise((onCompleted, onError) => {
      commitMutation(environment, { mutation, variables: { id }, onCompleted, onError });
    });
    const refetched = cached(refetch, { id }).node.viewerIsFollowing;
    flags.push(refetched, (await ask(refetch, { id })).node.viewerIsFollowing);
  }
  const ids = merged.edges.map((edge) => edge.node.id);
  console.log(JSON.stringify({ viewer: viewer?.id, pages, ids, flags }));
}

main();
