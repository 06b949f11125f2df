// SPDX-License-Identifier: Apache-2.0
// What vite.config.ts puts in, and the little that it needs of Node.js.
declare const RUNBOOK: Record<string, { title: string; text: string }>;

declare module "node:fs" {
  export function existsSync(path: URL): boolean;
  export function readFileSync(path: URL, encoding: "utf8"): string;
}
