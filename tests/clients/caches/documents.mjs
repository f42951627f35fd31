// What each client asks: a stream page by page, a follow, and the followed node again by its id.
export const PAGE = `
  query Page($id: ID!, $first: Int!, $after: String) {
    anyStream(object: $id, first: $first, after: $after) {
      edges {
        cursor
        node {
          id
          displayName
        }
      }
      pageInfo {
        hasNextPage
        endCursor
        hasPreviousPage
        startCursor
      }
    }
  }
`;
export const FOLLOW = `
  mutation Follow($id: ID!) {
    follow(input: { object: $id, sendAction: false }) {
      created
      object {
        id
        viewerIsFollowing
      }
      userErrors {
        code
      }
    }
  }
`;
export const UNFOLLOW = `
  mutation Unfollow($id: ID!) {
    unfollow(input: { object: $id }) {
      object {
        id
        viewerIsFollowing
      }
    }
  }
`;
export const REFETCH = `
  query Refetch($id: ID!) {
    viewer {
      id
    }
    node(id: $id) {
      id
      viewerIsFollowing
    }
  }
`;
// A page's size, and how each request says who asks.
export const FIRST = 7;
export const headers = process.env.TOKEN ? { Authorization: `Bearer ${process.env.TOKEN}` } : {};
