// SPDX-License-Identifier: Apache-2.0
// Builds the pages into build/web. No plug-in: esbuild knows JSX. Nothing is inlined, so that the strictest
// Content-Security-Policy (script-src 'self'; style-src 'self') holds.
import { existsSync, readFileSync } from "node:fs";
import { defineConfig } from "vite";

declare const process: { env: Record<string, string | undefined> };

// For `npm run dev`: the service that answers /v1.
const service = process.env.ASSAY_DASHBOARD ?? "http://127.0.0.1:8090";

/** The manual's entries about alerts, by their anchor: the page of alerts shows them beside an alert. Built where the
    manual is not, as in an image, the page says where to look them up. */
function runbook(): Record<string, { title: string; text: string }> {
  const at = new URL("../../../docs/operations.md", import.meta.url);
  if (!existsSync(at)) return {};
  const manual = readFileSync(at, "utf8");
  const chapter = /\n## Runbook\n([^]*?)(?=\n## |$)/.exec(manual)?.[1] ?? "";
  const entries = chapter.split(/^### /m).slice(1).map((entry) => {
    const [title = "", ...lines] = entry.split("\n");
    return [title.toLowerCase(), { title, text: lines.join("\n").trim() }] as const;
  });
  if (entries.length === 0) throw new Error("docs/operations.md has no chapter Runbook");
  return Object.fromEntries(entries);
}

export default defineConfig({
  define: { RUNBOOK: runbook() },
  esbuild: { jsx: "automatic", legalComments: "none" },
  build: {
    outDir: "../../../build/web",
    emptyOutDir: true,
    target: "es2021",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rollupOptions: {
      // "use client" is for servers that render React; nobody does here.
      onwarn: (warning, tell) => {
        if (warning.code !== "MODULE_LEVEL_DIRECTIVE") tell(warning);
      },
      output: { manualChunks: { react: ["react", "react-dom", "@tanstack/react-query"] } },
    },
  },
  server: { proxy: { "/v1": { target: service } } },
});
