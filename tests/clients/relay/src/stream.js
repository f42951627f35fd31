// A feed that pages, a profile that refetches by its id, and a follow that updates both.
import { graphql } from "relay-runtime";

export const query = graphql`
  query streamQuery($id: ID!, $first: Int!, $after: String) {
    viewer {
      id
      ...stream_feed @arguments(first: $first, after: $after)
    }
    node(id: $id) {
      ...stream_profile
    }
  }
`;

export const feed = graphql`
  fragment stream_feed on User
  @refetchable(queryName: "streamFeedQuery")
  @argumentDefinitions(first: { type: "Int", defaultValue: 20 }, after: { type: "String" }) {
    userStream(first: $first, after: $after, withUserActivity: true)
      @connection(key: "stream_userStream") {
      edges {
        node {
          id
          ...stream_action
        }
      }
    }
  }
`;

export const action = graphql`
  fragment stream_action on Action {
    displayName
    timestamp
    actor {
      ...stream_named
    }
    target {
      ...stream_named
    }
    actionObject {
      ...stream_named
    }
  }
`;

export const named = graphql`
  fragment stream_named on Node {
    __typename
    id
    displayName
    url
  }
`;

export const profile = graphql`
  fragment stream_profile on Node
  @refetchable(queryName: "streamProfileQuery")
  @argumentDefinitions(first: { type: "Int", defaultValue: 10 }, after: { type: "String" }) {
    id
    displayName
    viewerIsFollowing
    followers(first: 3) {
      totalCount
      nodes {
        user {
          displayName
        }
      }
    }
    anyStream(first: $first, after: $after) @connection(key: "stream_anyStream") {
      edges {
        node {
          ...stream_action
        }
      }
    }
  }
`;

export const follow = graphql`
  mutation streamFollowMutation($object: ID!, $connections: [ID!]!) {
    follow(input: { object: $object }) {
      followEdge @prependEdge(connections: $connections) {
        node {
          id
        }
      }
      object {
        ...stream_profile
      }
      userErrors {
        field
        message
        code
      }
    }
  }
`;

export const remove = graphql`
  mutation streamDeleteMutation($id: ID!, $connections: [ID!]!) {
    deleteAction(input: { id: $id }) {
      deletedActionId @deleteEdge(connections: $connections)
    }
  }
`;
