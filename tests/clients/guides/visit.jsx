// A guide's page as somebody uses it: node visit.js ID "follow" [COMMAND], where COMMAND is run between
// the page and the click on "Follow"; node visit.js ID "look" COMMAND DESCRIBED, where COMMAND lets
// something arrive, once while the page looks on and once while its connection is lost, which is
// DESCRIBED with the turn in the place of "#"; node visit.js ID "end" COMMAND, where COMMAND ends the
// subscription. Prints as JSON what there was to see.
import { execSync } from "node:child_process";
import { createRoot } from "react-dom/client";
import { App } from "./src/App.jsx";

const [id, deed, command, described] = process.argv.slice(2);
const saw = { alerts: [], after: [] };
const failures = [];
let held = null;
let answered = 0;

globalThis.alert = (message) => saw.alerts.push(message);
console.error = console.warn = (...said) => failures.push(said.join(" "));

const { fetch, WebSocket } = globalThis;
globalThis.fetch = async (...request) => {
  const response = await fetch(...request);
  const text = await response.text();
  await held;
  answered += 1;
  return new Response(text, response);
};
const { send } = WebSocket.prototype;
WebSocket.prototype.send = function (message, ...more) {
  const { type, payload } = JSON.parse(message);
  if (type === "subscribe") saw.after.push(payload.variables.after);
  return send.call(this, message, ...more);
};

const root = document.createElement("main");
document.body.append(root);
const all = (selector) => [...root.querySelectorAll(selector)];
const buttons = () => Object.fromEntries(all("button").map((found) => [found.textContent, found]));
const listed = () => all("li").map((found) => found.textContent);
const following = () => "Following" in buttons();
const turn = () => new Promise((resolve) => setTimeout(resolve));

async function until(condition, what) {
  const deadline = Date.now() + 60_000;
  while (!condition()) {
    if (failures.length || Date.now() > deadline) {
      throw new Error([`Not seen: ${what}.`, ...failures, root.innerHTML].join("\n"));
    }
    await turn();
  }
}

async function visit() {
  createRoot(root).render(<App id={id} />);
  await until(() => root.querySelector("h1, p"), "the page");
  saw.text = root.querySelector("h1, p").textContent;
  if (!root.querySelector("h1")) return;

  await until(() => root.querySelector("ol"), "the stream");
  saw.pages = [listed()];
  while (buttons().More) {
    const before = listed().length;
    buttons().More.click();
    await until(() => listed().length > before, "more");
    saw.pages.push(listed());
  }

  if (deed === "follow") await follow();
  if (deed === "look") await look();
  if (deed === "end") await end();
}

async function follow() {
  if (command) execSync(command);
  saw.following = [following()];
  let release;
  held = new Promise((resolve) => (release = resolve));
  buttons().Follow.click();
  await until(following, "the optimistic update");
  saw.following.push(following());
  const before = answered;
  release();
  await until(() => answered > before, "the answer");
  // What a client makes of an answer, it makes of it in these turns.
  for (let turns = 0; turns < 20; turns += 1) await turn();
  if (saw.alerts.length) await until(() => !following(), "the button taken back");
  saw.following.push(following());
}

async function look() {
  saw.arrived = [];
  for (const lost of [false, true]) {
    if (lost) WebSocket.open.forEach((socket) => socket.terminate());
    execSync(command);
    const awaited = described.replace("#", saw.arrived.length + 1);
    await until(() => listed()[0] === awaited, awaited);
    saw.arrived.push(listed().filter((it) => it === awaited));
  }
}

async function end() {
  execSync(command);
  await until(() => root.querySelector("[role=status]"), "that it is over");
  saw.status = root.querySelector("[role=status]").textContent;
}

visit()
  .then(() => {
    if (failures.length) throw new Error(failures.join("\n"));
    console.log(JSON.stringify(saw));
  })
  .catch((error) => {
    process.exitCode = 1;
    process.stderr.write(`${error.stack}\n`);
  })
  .finally(() => process.exit());
