// SPDX-License-Identifier: Apache-2.0
// What the service tells as it happens: one stream for the whole page, open while something listens and the page is
// seen. A page in the background asks for nothing, and is told how things stand when it is looked at again.
import { useEffect, useRef, useSyncExternalStore } from "react";
import { type LiveDecision, type LiveEvents, api } from "./api";

type Name = keyof LiveEvents;
type Hear = (data: never) => void;

const hearers = new Map<Name, Set<Hear>>();
const watchers = new Set<() => void>();
let source: EventSource | null = null;
let isLost = false;
/** Of the stream that is open, for what begins to listen later. */
let recent: LiveDecision[] = [];
const recentMost = 50;

function setLost(lost: boolean): void {
  if (isLost === lost) return;
  isLost = lost;
  watchers.forEach((each) => each());
}

function remember({ in_ms: ms, decisions }: LiveEvents["decisions"]): void {
  recent = (ms > 0 ? [...recent, ...decisions] : decisions).slice(-recentMost);
}

function listenFor(name: Name): void {
  source?.addEventListener(name, (event) => {
    const data = JSON.parse((event as MessageEvent<string>).data) as never;
    if (name === "decisions") remember(data);
    hearers.get(name)?.forEach((hear) => hear(data));
  });
}

/** Opens or closes the stream, as is wanted now. */
function settle(): void {
  const isWanted = hearers.size > 0 && document.visibilityState === "visible";
  if (!isWanted) {
    source?.close();
    source = null;
    recent = [];
  } else if (!source || source.readyState === EventSource.CLOSED) {
    source = api.stream();
    source.onopen = () => setLost(false);
    source.onerror = () => setLost(source?.readyState === EventSource.CLOSED);
    for (const name of ["decisions", "queue", "alerts"] as const) listenFor(name);
  }
}

document.addEventListener("visibilitychange", settle);

/** Calls `hear` for each event of that name while `isOn`; whether the stream has ended for good. */
export function useLive<N extends Name>(name: N, hear: (data: LiveEvents[N]) => void, isOn = true): boolean {
  const newest = useRef(hear);
  newest.current = hear;
  useEffect(() => {
    if (!isOn) return;
    const mine = (data: LiveEvents[N]) => newest.current(data);
    const all = hearers.get(name) ?? new Set<Hear>();
    hearers.set(name, all.add(mine as Hear));
    settle();
    if (name === "decisions" && recent.length > 0)
      mine({ count: recent.length, in_ms: 0, decisions: recent } satisfies LiveEvents["decisions"] as unknown as LiveEvents[N]);
    return () => {
      all.delete(mine as Hear);
      if (all.size === 0) hearers.delete(name);
      settle();
    };
  }, [name, isOn]);
  return useSyncExternalStore(
    (watcher) => {
      watchers.add(watcher);
      return () => watchers.delete(watcher);
    },
    () => isLost,
  );
}
