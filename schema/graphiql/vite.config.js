import { defineConfig } from "vite";

export default defineConfig({
  // Relative, so that the page works under any STATIC_URL.
  base: "./",
  build: {
    outDir: "../static/graphiql",
    emptyOutDir: true,
    // One stylesheet, because the template names it.
    cssCodeSplit: false,
    // The Monaco editor is one chunk of 2.8 MB.
    chunkSizeWarningLimit: 3000,
    rolldownOptions: {
      input: "src/graphiql.js",
      // Libraries say "use client" to React on a server; there is none here.
      checks: { moduleLevelDirective: false },
      output: {
        entryFileNames: "graphiql.js",
        chunkFileNames: "assets/[name]-[hash].js",
        assetFileNames: ({ names }) =>
          names.some((name) => name.endsWith(".css"))
            ? "graphiql.css"
            : "assets/[name]-[hash][extname]",
        // Apart from the entry, so that no chunk imports the entry: a static files
        // storage which serves it under a hashed name too would run it twice.
        codeSplitting: { groups: [{ name: "preload", test: /preload-helper/ }] },
      },
    },
  },
});
