// The recipes' page as somebody uses it: node recipes.js ID [COMMAND], where COMMAND is run between
// the page and the click on "Follow". Prints as JSON what there was to see.
import { execSync } from "node:child_process";
import { Suspense } from "react";
import { createRoot } from "react-dom/client";
import { RelayEnvironmentProvider } from "react-relay";
import { environment } from "./src/environment.js";
import { Page } from "./src/Page.jsx";

const [id, command] = process.argv.slice(2);
const saw = { alerts: [] };
const failures = [];
let held = null;

globalThis.alert = (message) => saw.alerts.push(message);
console.error = console.warn = (...said) => failures.push(said.join(" "));

const { fetch } = globalThis;
globalThis.fetch = async (...request) => {
  const response = await fetch(...request);
  await held;
  return response;
};

let ended = false;
const end = () => (ended = true);
const { executeMutation } = environment;
environment.executeMutation = (config) =>
  executeMutation.call(environment, config).do({ complete: end, error: end });

const root = document.createElement("main");
document.body.append(root);
const all = (selector) => [...root.querySelectorAll(selector)];
const buttons = () => Object.fromEntries(all("button").map((found) => [found.textContent, found]));
const listed = () => all("li").map((found) => found.textContent);
const following = () => ({
  store: environment.getStore().getSource().get(id).viewerIsFollowing,
  page: "Following" in buttons(),
});

async function until(condition, what) {
  const deadline = Date.now() + 20_000;
  while (!condition()) {
    if (failures.length || Date.now() > deadline) {
      throw new Error([`Not seen: ${what}.`, ...failures, root.innerHTML].join("\n"));
    }
    await new Promise(setImmediate);
  }
}

async function visit() {
  createRoot(root).render(
    <RelayEnvironmentProvider environment={environment}>
      <Suspense fallback="…">
        <Page id={id} />
      </Suspense>
    </RelayEnvironmentProvider>,
  );
  await until(() => root.querySelector("h1, p"), "the page");
  saw.text = root.querySelector("h1, p").textContent;
  if (!root.querySelector("h1")) return;

  saw.pages = [listed()];
  while (buttons().More) {
    const before = listed().length;
    buttons().More.click();
    await until(() => listed().length > before, "more");
    saw.pages.push(listed());
  }

  if (command) execSync(command);
  saw.following = [following()];
  let release;
  held = new Promise((resolve) => (release = resolve));
  buttons().Follow.click();
  await until(() => buttons().Following, "the optimistic update");
  saw.following.push(following());
  release();
  await until(() => ended, "the answer");
  await until(() => following().page === following().store, "on the page what the store has");
  saw.following.push(following());
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
