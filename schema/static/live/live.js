/** Your stream, live: a page by fetch, then what arrives over WebSocket. No library, no build. */

const endpoint = new URL(document.body.dataset.endpoint, location.href);
const byId = (id) => document.getElementById(id);

// What is asked

const ENTRY = `
  fragment Entry on Action {
    id
    displayName
    timestamp
    actor { ...Followed }
    actionObject { ...Followed }
    target { ...Followed }
  }
  fragment Followed on Node { id displayName viewerIsFollowing }
`;
const PAGE = `
  query Page($after: String) {
    userStream(first: 20, after: $after, withUserActivity: true) {
      resumeCursor
      edges { node { ...Entry } }
      pageInfo { hasNextPage endCursor }
    }
  }
  ${ENTRY}
`;
const PEOPLE = `
  query People {
    viewer { id }
    modelStream(model: USER, first: 50) { nodes { actor { id displayName viewerIsFollowing } } }
  }
`;
const ARRIVING = `
  subscription Arriving($after: String) {
    userStream(after: $after, withUserActivity: true) { cursor node { ...Entry } }
  }
  ${ENTRY}
`;
const FOLLOW = `mutation Follow($object: ID!) {
  follow(input: { object: $object, actorOnly: false }) { userErrors { message } }
}`;
const UNFOLLOW = `mutation Unfollow($object: ID!) {
  unfollow(input: { object: $object }) { userErrors { message } }
}`;

/** The data that a document is answered, by HTTP; throws what is wrong, in words. */
async function ask(query, variables = {}) {
  const answer = await fetch(endpoint, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = await answer.json();
  const refused = Object.values(data ?? {}).flatMap((part) => part?.userErrors ?? []);
  const wrong = [...(errors ?? []), ...refused];
  if (wrong.length) throw new Error(wrong.map((error) => error.message).join(" "));
  return data;
}

/**
 * Events over WebSocket (graphql-transport-ws), from a cursor on and for ever: a connection that is
 * lost is opened again, later each time, and resumes behind the last event.
 */
function subscribe(query, after, { onEvent, onState }) {
  let attempts = 0;

  function open() {
    const address = new URL(endpoint);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address, "graphql-transport-ws");
    const say = (message) => socket.send(JSON.stringify(message));
    const subscription = { id: "1", type: "subscribe" };

    socket.onopen = () => say({ type: "connection_init" });
    socket.onmessage = ({ data }) => {
      const { type, payload } = JSON.parse(data);
      if (type === "ping") say({ type: "pong" });
      if (type === "connection_ack") {
        say({ ...subscription, payload: { query, variables: { after } } });
        onState("live");
      }
      if (type === "next" && payload.data) {
        const [event] = Object.values(payload.data);
        attempts = 0;
        after = event.cursor;
        onEvent(event);
      }
      // The operation is over, though the page is not.
      if (type === "error" || type === "complete") socket.close();
    };
    socket.onclose = ({ code }) => {
      if (code === 4403) return onState("over");
      onState("waiting");
      const longest = Math.min(1000 * 2 ** attempts++, 30_000);
      setTimeout(open, longest * (0.5 + Math.random() / 2));
    };
  }
  open();
}

// What is shown

const stream = byId("stream");
const shown = new Set();
const MOST_SHOWN = 200;
let viewer = null;

function entry(action) {
  const item = byId("action").content.cloneNode(true).firstElementChild;
  const time = item.querySelector("time");
  const at = new Date(action.timestamp);
  item.querySelector(".what").textContent = action.displayName;
  time.dateTime = action.timestamp;
  time.title = at.toLocaleString();
  time.textContent = ago(at);
  const roles = [action.actor, action.actionObject, action.target].filter(Boolean);
  const named = new Map(roles.map((node) => [node.id, node]));
  for (const node of named.values()) {
    if (node.id !== viewer) item.querySelector(".about").append(followButton(node));
  }
  return item;
}

function ago(at) {
  const seconds = (at - Date.now()) / 1000;
  const words = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
  for (const [unit, size] of [["day", 86_400], ["hour", 3_600], ["minute", 60]]) {
    if (-seconds >= size) return words.format(Math.round(seconds / size), unit);
  }
  return words.format(Math.min(0, Math.round(seconds)), "second");
}

function followButton({ id, displayName, viewerIsFollowing }) {
  const button = byId("button").content.cloneNode(true).firstElementChild;
  button.dataset.node = id;
  button.textContent = displayName;
  button.setAttribute("aria-label", `Follow ${displayName}`);
  button.setAttribute("aria-pressed", viewerIsFollowing);
  return button;
}

function add(action, { onTop = false } = {}) {
  if (shown.has(action.id)) return false;
  shown.add(action.id);
  const item = entry(action);
  if (onTop) {
    item.classList.add("new");
    stream.prepend(item);
    if (stream.children.length > MOST_SHOWN) stream.lastElementChild.remove();
  } else {
    stream.append(item);
  }
  byId("empty").hidden = true;
  return true;
}

/** Follow or unfollow by any button of a node: all of them show it at once, or again as it was. */
async function toggle(pressed) {
  const object = pressed.dataset.node;
  const buttons = () => document.querySelectorAll(`[data-node="${CSS.escape(object)}"]`);
  const show = (on) => buttons().forEach((button) => button.setAttribute("aria-pressed", on));
  const was = pressed.getAttribute("aria-pressed") === "true";
  show(!was);
  try {
    byId("trouble").textContent = "";
    await ask(was ? UNFOLLOW : FOLLOW, { object });
  } catch (error) {
    show(was);
    byId("trouble").textContent = error.message;
  }
}

async function older(button) {
  const { userStream } = await ask(PAGE, { after: button.dataset.after });
  showPage(userStream);
}

function showPage({ edges, pageInfo }) {
  for (const { node } of edges) add(node);
  byId("older").hidden = !pageInfo.hasNextPage;
  byId("older").dataset.after = pageInfo.endCursor;
  byId("empty").hidden = shown.size > 0;
}

const STATES = {
  live: "Live",
  waiting: "Connecting again…",
  over: "You are logged out. Load the page again.",
};

async function start() {
  const { viewer: who, modelStream } = await ask(PEOPLE);
  viewer = who?.id;
  const people = new Map(modelStream.nodes.map(({ actor }) => [actor?.id, actor]));
  people.delete(undefined);
  people.delete(viewer);
  for (const person of [...people.values()].slice(0, 8)) {
    const item = document.createElement("li");
    item.append(followButton(person));
    byId("people").append(item);
  }

  const { userStream } = await ask(PAGE);
  showPage(userStream);
  subscribe(ARRIVING, userStream.resumeCursor, {
    onEvent({ node }) {
      if (add(node, { onTop: true })) byId("news").textContent = node.displayName;
    },
    onState(state) {
      byId("connection").dataset.state = state;
      byId("connection").textContent = STATES[state];
    },
  });
}

document.addEventListener("click", ({ target }) => {
  if (target.matches(".follow")) toggle(target);
  if (target.matches("#older")) older(target).catch(trouble);
});
setInterval(() => {
  for (const time of stream.querySelectorAll("time")) {
    time.textContent = ago(new Date(time.dateTime));
  }
}, 30_000);

function trouble(error) {
  byId("trouble").textContent = error.message;
}
start().catch(trouble);
