// node server.mjs best|natural PORT PROCESSES: grafserv on Node's own HTTP server.
import cluster from "node:cluster";
import { createServer } from "node:http";
import { grafserv } from "postgraphile/grafserv/node";
import { postgraphile } from "postgraphile";
import { makePgService } from "postgraphile/adaptors/pg";
import { PostGraphileAmberPreset } from "postgraphile/presets/amber";

const [form, port, processes] = process.argv.slice(2);

if (cluster.isPrimary && processes > 1) {
  for (let n = 0; n < processes; n++) cluster.fork();
} else {
  const { plugins, schemas } = await import(`./${form}.mjs`);
  const preset = {
    extends: [PostGraphileAmberPreset],
    plugins,
    pgServices: [
      makePgService({
        connectionString: process.env.DATABASE_URL,
        schemas,
        poolConfig: { max: 8 },
      }),
    ],
    grafast: { explain: false },
    grafserv: { graphqlPath: "/graphql", graphiql: false, watch: false, websockets: false },
  };
  const instance = postgraphile(preset).createServ(grafserv);
  const server = createServer();
  await instance.addTo(server);
  server.listen(Number(port), "127.0.0.1");
}
