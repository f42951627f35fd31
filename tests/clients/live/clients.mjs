/** The reference clients on a running site; prints what was checked, and what each came to. */

import { createHmac } from "node:crypto";

import { createClient } from "graphql-ws";
import { createClient as createEventClient } from "graphql-sse";
import WebSocket from "ws";

const [site, protocol] = process.argv.slice(2);
const { SESSION: cookie, TOKEN_SECRET: secret } = process.env;
const http = `${site}/graphql`;
const ws = http.replace("http", "ws");
const results = [];
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A token that names ada for so many seconds. */
function mint(seconds) {
  const base64 = (value) => Buffer.from(value).toString("base64url");
  const claims = { sub: "ada", exp: Math.floor(Date.now() / 1000) + seconds };
  const signed = [{ alg: "HS256", typ: "JWT" }, claims].map((it) => base64(JSON.stringify(it))).join(".");
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

const token = mint(900);
const ARRIVING = `subscription ($after: String) {
  userStream(withUserActivity: true, after: $after) { cursor node { verb } }
}`;
const POST = `mutation ($verb: String!) {
  createAction(input: { verb: $verb }) { created userErrors { message } }
}`;

async function check(name, what) {
  try {
    await within(what());
    results.push([name, "ok"]);
  } catch (error) {
    results.push([name, String(error?.stack ?? JSON.stringify(error))]);
  }
}

function within(promise, ms = 15_000) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function equal(found, wanted) {
  const [one, other] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (one !== other) throw new Error(`${one} is not ${other}`);
}

async function post(verb) {
  const answer = await fetch(http, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` },
    body: JSON.stringify({ query: POST, variables: { verb } }),
  });
  equal((await answer.json()).data.createAction, { created: true, userErrors: [] });
}

/** What a client is given for an operation: values, and how it ended. */
function observe(client, query, variables) {
  const seen = { values: [], error: null, completed: false, listeners: [] };
  const tell = () => seen.listeners.splice(0).forEach((listener) => listener());
  seen.until = async (holds) => {
    while (!holds(seen)) await within(new Promise((resolve) => seen.listeners.push(resolve)));
    return seen;
  };
  seen.dispose = client.subscribe(
    { query, variables },
    {
      next: (value) => (seen.values.push(value), tell()),
      error: (error) => ((seen.error = error), tell()),
      complete: () => ((seen.completed = true), tell()),
    },
  );
  return seen;
}

const ended = (seen) => seen.completed || seen.error;
const verbs = (seen) => seen.values.map((value) => value.data.userStream.node.verb);

async function refusal(client, query, variables) {
  const { error, values } = await observe(client, query, variables).until(ended);
  return error?.[0]?.extensions?.code ?? values[0]?.errors?.[0]?.extensions?.code;
}

/** A connection that says what it likes. */
function raw({ headers = {}, protocols = "graphql-transport-ws", address = ws } = {}) {
  const socket = new WebSocket(address, protocols, { headers, perMessageDeflate: false });
  const heard = [];
  const hungry = [];
  socket.on("message", (data) => {
    heard.push(JSON.parse(data));
    hungry.splice(0).forEach((resolve) => resolve());
  });
  const closed = new Promise((resolve) => {
    socket.on("close", (code, reason) => resolve([code, `${reason}`]));
  });
  const refused = new Promise((resolve) => {
    socket.on("unexpected-response", (_, response) => (resolve(response.statusCode), socket.terminate()));
  });
  socket.on("error", () => {});
  const opened = new Promise((resolve) => socket.on("open", resolve));
  const say = (message) => socket.send(JSON.stringify(message));
  const hear = async () => {
    while (!heard.length) await within(new Promise((resolve) => hungry.push(resolve)));
    return heard.shift();
  };
  const subscribe = (id, query, more = {}) =>
    say({ id, type: "subscribe", payload: { query, ...more } });
  const begin = async (payload) => {
    await opened;
    say({ type: "connection_init", ...(payload ? { payload } : {}) });
    equal((await hear()).type, "connection_ack");
  };
  return { socket, say, hear, subscribe, begin, opened, closed, refused };
}

async function closes(options, code, ...says) {
  const connection = raw(options);
  await connection.opened;
  for (const each of says) connection.socket.send(typeof each === "object" && !Buffer.isBuffer(each) ? JSON.stringify(each) : each);
  equal((await connection.closed)[0], code);
}

const INIT = { type: "connection_init" };
const asked = (payload, id = "1") => ({ id, type: "subscribe", payload });
const mine = { headers: { Cookie: cookie ?? "" } };

async function webSocket() {
  const options = { url: ws, webSocketImpl: WebSocket, retryAttempts: 0, lazyCloseTimeout: 0 };
  const authorized = { connectionParams: { Authorization: `Bearer ${token}` } };
  const withClient = async (more, what) => {
    const client = createClient({ ...options, ...more });
    try {
      await what(client);
    } finally {
      await client.dispose();
    }
  };

  await check("graphql-ws: a query", () =>
    withClient({}, async (client) => {
      const { values } = await observe(client, "{ __typename }").until(ended);
      equal(values, [{ data: { __typename: "Query" } }]);
    }));
  await check("graphql-ws: a mutation and a subscription that hears of it", () =>
    withClient(authorized, async (client) => {
      const seen = observe(client, ARRIVING);
      await wait(500);
      const { values } = await observe(client, POST, { verb: "sang" }).until(ended);
      equal(values[0].data.createAction.created, true);
      await seen.until(() => seen.values.length);
      equal(verbs(seen), ["sang"]);
      seen.dispose();
      await seen.until(ended);
    }));
  await check("graphql-ws: resumes by the cursor of the last event", () =>
    withClient(authorized, async (client) => {
      const first = observe(client, ARRIVING);
      await wait(500);
      await post("left");
      await first.until(() => first.values.length);
      first.dispose();
      await post("missed");
      const after = first.values[0].data.userStream.cursor;
      const second = observe(client, ARRIVING, { after });
      await second.until(() => verbs(second).includes("missed"));
      second.dispose();
    }));
  await check("graphql-ws: connects again by itself", async () => {
    let socket;
    const on = { opened: (it) => (socket = it) };
    const again = { retryAttempts: 5, retryWait: () => wait(50), on };
    await withClient({ ...authorized, ...again }, async (client) => {
      const seen = observe(client, ARRIVING);
      await wait(500);
      socket.terminate();
      await wait(1_000);
      await post("back");
      await seen.until(() => verbs(seen).includes("back"));
      seen.dispose();
    });
  });
  await check("graphql-ws: several operations on one connection", () =>
    withClient({}, async (client) => {
      const several = Array.from({ length: 20 }, () => observe(client, "{ __typename }"));
      await Promise.all(several.map((seen) => seen.until((it) => it.completed)));
    }));
  await check("graphql-ws: its pings are answered", async () => {
    let pongs = 0;
    const on = { pong: (received) => received && pongs++ };
    await withClient({ lazy: false, keepAlive: 50, on }, async () => {
      await wait(1_000);
      if (!pongs) throw new Error("no pong");
    });
  });
  for (const [name, query, code] of [
    ["a syntax error", "subscription {", "BAD_REQUEST"],
    ["an unknown field", "subscription { nothing }", "BAD_REQUEST"],
    ["two root fields", `subscription { ${'a: userStream { cursor } b: userStream { cursor }'} }`, "BAD_REQUEST"],
    ["a variable that is missing", "query ($id: ID!) { node(id: $id) { id } }", "BAD_USER_INPUT"],
    ["nobody's own stream", "subscription { userStream { cursor } }", "UNAUTHENTICATED"],
    ["an object that is not there", 'subscription { anyStream(object: "VXNlcjow") { cursor } }', "BAD_USER_INPUT"],
    ["a cursor that is none", 'subscription { modelStream(model: USER, after: "x") { cursor } }', "BAD_USER_INPUT"],
    [
      "a query that is too large",
      "{ modelStream(model: USER, first: 100) { nodes { actor { anyStream(first: 100) { nodes { id } } } } } }",
      "TOO_COMPLEX",
    ],
  ]) {
    await check(`graphql-ws: ${name} is ${code}`, () =>
      withClient({}, async (client) => equal(await refusal(client, query), code)));
  }
  await check("graphql-ws: a bad token is 4403", () =>
    withClient({ connectionParams: { Authorization: "Bearer x.y.z" } }, async (client) => {
      const { error } = await observe(client, "{ __typename }").until(ended);
      equal(error.code, 4403);
    }));

  const closings = [
    ["no JSON is 4400", 4400, "nonsense"],
    ["a list is 4400", 4400, "[]"],
    ["null is 4400", 4400, "null"],
    ["a number is 4400", 4400, "7"],
    ["no type is 4400", 4400, "{}"],
    ["an unknown type is 4400", 4400, { type: "start" }],
    ["a binary message is 4400", 4400, Buffer.from('{"type":"ping"}')],
    ["an init of a list is 4400", 4400, { ...INIT, payload: [] }],
    ["a second init is 4429", 4429, INIT, INIT],
    ["an operation before init is 4401", 4401, asked({ query: "{ __typename }" })],
    ["an id that is in use is 4409", 4409, INIT, ...Array(2).fill(asked({ query: "subscription { modelStream(model: USER) { cursor } }" }))],
    ["an operation without an id is 4400", 4400, INIT, { type: "subscribe", payload: { query: "{ __typename }" } }],
    ["an id of a number is 4400", 4400, INIT, asked({ query: "{ __typename }" }, 1)],
    ["an operation without payload is 4400", 4400, INIT, asked(undefined)],
    ["a query of a number is 4400", 4400, INIT, asked({ query: 1 })],
    ["variables of a list are 4400", 4400, INIT, asked({ query: "{ __typename }", variables: [] })],
    ["an expired token is 4403", 4403, { ...INIT, payload: { Authorization: `Bearer ${mint(-5)}` } }],
    ["a huge message is 1009", 1009, INIT, asked({ query: "{ __typename }", padding: "x".repeat(200_000) })],
  ];
  for (const [name, code, ...says] of closings) await check(name, () => closes({}, code, ...says));
  await check("no subprotocol is 4406", () => closes({ protocols: [] }, 4406));
  await check("a page elsewhere is 403", async () => {
    equal(await raw({ headers: { ...mine.headers, Origin: "https://elsewhere.example" } }).refused, 403);
  });
  await check("another address is 403", async () => {
    equal(await raw({ address: ws.replace("graphql", "elsewhere") }).refused, 403);
  });
  await check("a page of this site has its session", async () => {
    const connection = raw({ headers: { ...mine.headers, Origin: site } });
    await connection.begin();
    connection.subscribe("1", "{ viewer { username } }");
    equal((await connection.hear()).payload.data.viewer.username, "ada");
    connection.socket.close();
  });
  await check("a connection ends with its token, by 4403", async () => {
    const connection = raw();
    await connection.begin({ Authorization: `Bearer ${mint(4)}` });
    equal(await connection.closed, [4403, "The token is expired."]);
  });
  await check("no init is 4408", () => closes({}, 4408));
  await check("ping is answered by pong, before init too", async () => {
    const connection = raw();
    await connection.opened;
    connection.say({ type: "ping" });
    equal(await connection.hear(), { type: "pong" });
    connection.say({ type: "pong" });
    await connection.begin();
    connection.socket.close();
  });
  await check("a message comes in fragments", async () => {
    const connection = raw();
    await connection.begin();
    const whole = JSON.stringify(asked({ query: "{ __typename }" }));
    connection.socket.send(whole.slice(0, 9), { fin: false });
    connection.socket.send(whole.slice(9), { fin: true });
    equal((await connection.hear()).payload.data, { __typename: "Query" });
    connection.socket.close();
  });
  await check("complete twice, of nothing, and an id used again", async () => {
    const connection = raw();
    await connection.begin();
    connection.say({ id: "nothing", type: "complete" });
    for (let turn = 0; turn < 2; turn++) {
      connection.subscribe("1", "{ __typename }");
      equal((await connection.hear()).type, "next");
      equal(await connection.hear(), { id: "1", type: "complete" });
    }
    connection.socket.close();
  });
  await check("nothing comes after complete", async () => {
    const connection = raw(mine);
    await connection.begin();
    connection.subscribe("1", ARRIVING);
    await wait(500);
    await post("heard");
    equal((await connection.hear()).payload.data.userStream.node.verb, "heard");
    connection.say({ id: "1", type: "complete" });
    connection.say({ type: "ping" });
    equal(await connection.hear(), { type: "pong" });
    await post("unheard");
    await wait(1_500);
    connection.subscribe("2", "{ __typename }");
    equal((await connection.hear()).id, "2");
    connection.socket.close();
  });
  await check("fifty operations at once, and no more", async () => {
    const connection = raw();
    await connection.begin();
    for (let id = 0; id <= 50; id++) connection.subscribe(`${id}`, "subscription { modelStream(model: USER) { cursor } }");
    const refused = await connection.hear();
    equal([refused.id, refused.type, refused.payload[0].extensions.code], ["50", "error", "TOO_COMPLEX"]);
    connection.socket.close();
  });
}

async function serverSentEvents() {
  const headers = { Authorization: `Bearer ${token}` };
  const options = { url: http, retryAttempts: 0, headers };
  const client = createEventClient(options);

  await check("graphql-sse: a query", async () => {
    const { values, completed } = await observe(client, "{ __typename }").until(ended);
    equal([values, completed], [[{ data: { __typename: "Query" } }], true]);
  });
  await check("graphql-sse: a mutation and a subscription that hears of it", async () => {
    const seen = observe(client, ARRIVING);
    await wait(500);
    await observe(client, POST, { verb: "whistled" }).until(ended);
    await seen.until(() => seen.values.length);
    equal(verbs(seen), ["whistled"]);
    seen.dispose();
  });
  await check("graphql-sse: resumes by the cursor of the last event", async () => {
    const first = observe(client, ARRIVING);
    await wait(500);
    await post("left");
    await first.until(() => first.values.length);
    first.dispose();
    await post("missed");
    const second = observe(client, ARRIVING, { after: first.values[0].data.userStream.cursor });
    await second.until(() => verbs(second).includes("missed"));
    second.dispose();
  });
  for (const [name, query, code] of [
    ["a syntax error", "subscription {", "BAD_REQUEST"],
    ["an unknown field", "subscription { nothing }", "BAD_REQUEST"],
    ["an object that is not there", 'subscription { anyStream(object: "VXNlcjow") { cursor } }', "BAD_USER_INPUT"],
    [
      "a query that is too large",
      "{ modelStream(model: USER, first: 100) { nodes { actor { anyStream(first: 100) { nodes { id } } } } } }",
      "TOO_COMPLEX",
    ],
  ]) {
    await check(`graphql-sse: ${name} is ${code}`, async () => equal(await refusal(client, query), code));
  }
  await check("graphql-sse: a bad token is 401", async () => {
    const bad = createEventClient({ ...options, headers: { Authorization: "Bearer x.y.z" } });
    const { error } = await observe(bad, "{ __typename }").until(ended);
    equal(error.response.status, 401);
  });
  await check("graphql-sse: a stream ends with its token", async () => {
    const short = createEventClient({ ...options, headers: { Authorization: `Bearer ${mint(4)}` } });
    const { values, completed } = await observe(short, ARRIVING).until(ended);
    equal([values.at(-1).errors[0].extensions.code, completed], ["UNAUTHENTICATED", true]);
  });
  const ask = (query, accept, more = {}) =>
    fetch(http, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: accept, ...more },
      body: JSON.stringify({ query }),
    });
  await check("a stream is text/event-stream, and is not kept", async () => {
    const answer = await ask("{ __typename }", "text/event-stream");
    equal(
      [answer.status, answer.headers.get("content-type"), answer.headers.get("cache-control")],
      [200, "text/event-stream; charset=utf-8", "no-store"],
    );
    equal(await answer.text(), 'event: next\ndata: {"data":{"__typename":"Query"}}\n\nevent: complete\ndata:\n\n');
  });
  await check("a client that takes no stream is told so", async () => {
    const answer = await ask("subscription { modelStream(model: USER) { cursor } }", "application/json");
    equal((await answer.json()).errors[0].extensions.code, "BAD_REQUEST");
  });
  await check("what urql accepts gets a stream where there must be one", async () => {
    const accept = "application/graphql-response+json, application/json, text/event-stream, multipart/mixed";
    const answer = await ask("subscription { nothing }", accept);
    equal(answer.headers.get("content-type").split(";")[0], "application/graphql-response+json");
    const stream = await ask("subscription { modelStream(model: USER) { cursor } }", accept);
    equal(stream.headers.get("content-type").split(";")[0], "text/event-stream");
    await stream.body.cancel();
  });
  await check("a page elsewhere has no session", async () => {
    const foreign = { Cookie: cookie, Origin: "https://elsewhere.example" };
    equal((await ask("{ viewer { id } }", "text/event-stream", foreign)).status, 403);
  });
}

await (protocol === "sse" ? serverSentEvents() : webSocket());
console.log(JSON.stringify(results));
process.exit();
