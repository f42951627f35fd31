// PostGraphile with a schema and SQL by hand: the same statements as the bare endpoint's.
import { readFileSync } from "node:fs";
import pg from "pg";
import { get, loadOne } from "postgraphile/grafast";
import { extendSchema } from "postgraphile/utils";

const FIRST = 20;
const START = ["4503599627370496", "0"];

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 8 });
const { rows: types } = await pool.query(
  "SELECT model, id FROM django_content_type WHERE app_label = 'auth'",
);
const number = Object.fromEntries(types.map(({ model, id }) => [model, id]));
const typeName = { [number.user]: "User", [number.group]: "Group" };

const text = (name) => readFileSync(new URL(`../sql/${name}.sql`, import.meta.url), "utf8");
const named = text("named").replaceAll("{user}", number.user).replaceAll("{group}", number.group);
const run = async (name, values) =>
  // A name makes it a prepared statement; arrays are quicker than objects.
  (await pool.query({ name, text: sql[name], values, rowMode: "array" })).rows;
const sql = Object.fromEntries(
  ["actor", "any", "probe", "heads"].map((name) => [
    name,
    named.replace("{page}", () => text(name)),
  ]),
);

const encode = (plain) => Buffer.from(plain).toString("base64");
const decode = (opaque) => Buffer.from(opaque, "base64").toString();
const key = (id) => decode(id).split(":")[1];

const streams = {
  actor: (id, after) => run("actor", [number.user, key(id), ...after]),
  any: (id, after) => run("any", [number.user, key(id), ...after]),
  user: async (id, after) => {
    const rows = await run("probe", [key(id), ...after]);
    return rows.length > FIRST ? rows : run("heads", [key(id), ...after]);
  },
};

const subject = (type, id, displayName) => {
  if (type === null) return null;
  const __typename = typeName[type];
  return { __typename, id: encode(`${__typename}:${id}`), displayName };
};

const connection = (rows) => {
  const edges = rows.slice(0, FIRST).map((row) => ({
    cursor: encode(`a1:${row[3]}:${row[0]}`),
    node: {
      id: encode(`Action:${row[0]}`),
      verb: row[1],
      timestamp: row[2],
      actor: subject(row[4], row[5], row[6]),
      target: subject(row[7], row[8], row[9]),
      actionObject: subject(row[10], row[11], row[12]),
    },
  }));
  const endCursor = edges.length ? edges[edges.length - 1].cursor : null;
  return { edges, pageInfo: { hasNextPage: rows.length > FIRST, endCursor } };
};

const loaders = Object.fromEntries(
  Object.entries(streams).map(([name, stream]) => [
    name,
    (specs) =>
      specs.map(async ([id, after]) =>
        connection(await stream(id, after ? decode(after).split(":").slice(1) : START)),
      ),
  ]),
);
const field = (name) => (_, { $of, $after }) => loadOne([$of, $after], loaders[name]);

export const plugins = [
  extendSchema({
    typeDefs: /* GraphQL */ `
      interface Subject {
        id: ID!
        displayName: String!
      }
      type User implements Subject {
        id: ID!
        displayName: String!
      }
      type Group implements Subject {
        id: ID!
        displayName: String!
      }
      type Action {
        id: ID!
        verb: String!
        timestamp: String!
        actor: Subject
        target: Subject
        actionObject: Subject
      }
      type ActionEdge {
        cursor: String!
        node: Action!
      }
      type ActionPageInfo {
        hasNextPage: Boolean!
        endCursor: String
      }
      type ActionConnection {
        edges: [ActionEdge!]!
        pageInfo: ActionPageInfo!
      }
      extend type Query {
        actorStream(of: ID!, first: Int, after: String): ActionConnection
        anyStream(of: ID!, first: Int, after: String): ActionConnection
        userStream(of: ID!, first: Int, after: String): ActionConnection
      }
    `,
    objects: {
      Query: {
        plans: {
          actorStream: field("actor"),
          anyStream: field("any"),
          userStream: field("user"),
        },
      },
    },
    interfaces: {
      Subject: {
        planType: ($subject) => ({
          $__typename: get($subject, "__typename"),
          planForType: () => $subject,
        }),
      },
    },
  }),
];
export const schemas = [];
