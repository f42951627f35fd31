// Makes one script of a client: node build.mjs ENTRY OUTFILE, where its packages are installed. Prints
// of which files.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

const { build } = createRequire(`${process.cwd()}/`)("esbuild");
const [entry, outfile] = process.argv.slice(2);

// As babel-plugin-relay has it: a graphql tag stands for what relay-compiler made of it.
const artifacts = {
  name: "artifacts",
  setup({ onLoad }) {
    onLoad({ filter: /\/src\/\w+\.jsx?$/ }, async ({ path }) => {
      const imports = [];
      const source = await readFile(path, "utf8");
      const contents = source.replace(/graphql`\s*\w+ (\w+)[^`]*`/g, (_, name) => {
        imports.push(`import ${name} from "./__generated__/${name}.graphql";`);
        return name;
      });
      return { contents: [contents, ...imports].join("\n"), loader: "jsx" };
    });
  },
};

const { metafile } = await build({
  metafile: true,
  entryPoints: [entry],
  outfile,
  bundle: true,
  platform: "node",
  jsx: "automatic",
  plugins: [artifacts],
  logLevel: "warning",
});
console.log(Object.keys(metafile.inputs).filter((it) => !it.includes("node_modules")).join("\n"));
