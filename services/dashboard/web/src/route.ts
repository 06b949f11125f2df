// SPDX-License-Identifier: Apache-2.0
// Where the reader is: the part of the address behind `#`, so that any server of plain files will do and every place
// can be bookmarked. `#/cases/731`, `#/queue?sort=due`.
import { useSyncExternalStore } from "react";

export interface Route {
  path: string[];
  query: URLSearchParams;
}

export function parseRoute(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  return {
    path: path.split("/").filter(Boolean).map(safeDecode),
    query: new URLSearchParams(query),
  };
}

function safeDecode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** The address of a place; members of `query` that are empty are left out. */
export function href(path: string, query?: Record<string, string | undefined>): string {
  const kept = Object.entries(query ?? {}).filter((member): member is [string, string] => !!member[1]);
  const text = new URLSearchParams(kept).toString();
  return `#/${path}${text ? `?${text}` : ""}`;
}

export function go(to: string): void {
  window.location.hash = to.replace(/^#/, "");
}

/** Goes there without a step to come back to. */
export function swap(to: string): void {
  history.replaceState(null, "", to);
  window.dispatchEvent(new HashChangeEvent("hashchange"));
}

let last = { hash: "", route: parseRoute("") };

function current(): Route {
  if (last.hash !== window.location.hash)
    last = { hash: window.location.hash, route: parseRoute(window.location.hash) };
  return last.route;
}

function subscribe(changed: () => void): () => void {
  window.addEventListener("hashchange", changed);
  return () => window.removeEventListener("hashchange", changed);
}

export const useRoute = (): Route => useSyncExternalStore(subscribe, current);
